"""A model on a server as an lm_eval model uses it: settings, what it can do, what it was asked, what that costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lmx_files.errors import UserError
from lmx_models.decoding.guided.policies import PolicyConfig
from lmx_models.decoding.guided.signals import SIGNALS
from lmx_models.servers.address import Address
from lmx_models.servers.codecs import Codec
from lmx_models.servers.remote_model import Features, RemoteModel, exact
from lmx_models.settings.arguments import build, fields_of
from lmx_models.settings.prices import estimate, price_of

try:
    from lmx_models.servers.endpoint import Access, Endpoint
    from lmx_models.servers.probe import probe
except ImportError as error:
    raise UserError(f"models on servers need {error.name}: pip install 'lmx-eval[openai]'") from error

# Arguments of the model, by the field of `Access` that each sets.
ACCESS = {
    "max_concurrent": "max_concurrent",
    "endpoint_patience": "patience",
    "endpoint_timeout": "timeout",
    "key_env": "key_env",
}
# Policies that fire only after a fixed number of base tokens, by the setting that says how many.
STEPS = {"ramp": "step_size", "ramp_spaced": "step_size", "fixed": "every"}


@dataclass(frozen=True)
class ServerConfig:
    """Settings of texts that a server writes.

    Attributes:
        ahead: most tokens asked of the base at once while the oracle may still be consulted; None: as many as the
            policy surely lets it write (`step_size`, `every`), or 16 where that depends on each token.
        top_logprobs: of how many tokens log-probabilities are asked for, where a policy reads them; fewer where the
            server gives fewer.
    """

    ahead: int | None = None
    top_logprobs: int = 20

    def __post_init__(self) -> None:
        if (self.ahead is not None and self.ahead < 1) or self.top_logprobs < 2:
            raise UserError(f"ahead={self.ahead} must be at least 1, top_logprobs={self.top_logprobs} at least 2")

    def ahead_for(self, policy: PolicyConfig, exact: bool) -> int:
        """Return how many tokens to ask for; `exact`: the server's text can be cut at every token."""
        step = getattr(policy, STEPS[policy.policy]) if policy.policy in STEPS else None
        if exact:
            return self.ahead or step or 16
        if self.ahead not in (None, 1, step):
            raise UserError(
                f"ahead={self.ahead}: without tokenizer=ID, and as the server gives no logprobs, a text cannot be cut "
                f"within a reply; leave ahead out, or name the base's tokenizer"
            )
        return step or 1


@dataclass
class Server:
    """One model on a server. `role`: ``base`` or ``oracle``."""

    role: str
    endpoint: Endpoint
    calls: list[dict[str, Any]] = field(default_factory=list)
    features: Features = field(default_factory=Features)
    codec: Codec | None = None

    @classmethod
    def of(cls, role: str, address: Address, arguments: Mapping[str, Any]) -> Server:
        """Take what concerns this server from a model's arguments (``oracle_key_env``: the oracle's ``key_env``)."""
        given = {access: arguments[name] for name, access in ACCESS.items() if name in arguments}
        if role == "oracle" and arguments.get("oracle_key_env"):
            given["key_env"] = arguments["oracle_key_env"]
        hints = fields_of(Access)
        access: Access = build(Access, {name: value for name, value in given.items() if name in hints})
        return cls(role, Endpoint(address, access))

    def connect(self, tokenizer: Any = None) -> None:
        """Find out what the server can do; `tokenizer`: whose ids are to be exchanged with it."""
        self.features = probe(self.endpoint, tokenizer)

    def model(self) -> RemoteModel:
        """Return the model for a scheduler."""
        assert self.codec is not None
        return RemoteModel(self.endpoint, self.codec, self.features)

    @property
    def exact(self) -> bool:
        """What it writes can be cut at every token."""
        assert self.codec is not None
        return exact(self.codec, self.features)

    @property
    def level(self) -> str:
        """How text passes to and from it."""
        if self.features.ids_in:
            return "token ids" if self.features.ids_out else "token ids in, text out"
        return "text"

    def identity(self) -> dict[str, Any]:
        """Return what stands for the model in a journal; not where it runs."""
        return {"server": self.endpoint.model, "level": self.level, "top": self.features.top}

    def top_for(self, reads: bool, config: ServerConfig, what: str) -> int:
        """Return how many log-probabilities to ask for; refuse `what` reads them where the server gives none."""
        if reads and not self.features.top:
            raise UserError(
                f"{what} reads log-probabilities, and {self.endpoint.address} gives none in /v1/completions: use "
                "policy=ramp, fixed, random or step_boundary, or a server that gives them (vLLM, llama.cpp)"
            )
        return min(config.top_logprobs, self.features.top) if reads else 0

    def report(self, calls: list[dict[str, Any]], kept: int) -> dict[str, Any]:
        """Return what goes into the results file.

        Args:
            calls: what texts say they asked of it (`Trace.extra`), of all ranks.
            kept: tokens of the answers that it wrote.
        """
        total = {name: sum(one[name] for one in calls) for name in ("calls", "retries")}
        prompt = sum(one["prompt_tokens"] for one in calls)
        completion = sum(one["completion_tokens"] for one in calls)
        seconds = sorted(second for one in calls for second in one["latency"])
        return {
            "address": str(self.endpoint.address),
            "model": self.endpoint.model,
            "level": self.level,
            "logprobs": self.features.top,
            **total,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "completion_tokens_kept": kept,
            "latency_mean": round(statistics.fmean(seconds), 3) if seconds else None,
            "latency_p95": seconds[int(0.95 * (len(seconds) - 1))] if seconds else None,
            "estimated_cost_usd": estimate(price_of(self.endpoint.model), prompt, completion),
        }


def reads_distribution(policy: PolicyConfig, own_reads: bool, record: str | None) -> str | None:
    """Return which setting reads the base's distribution, if one does; refuse what its top does not give.

    Args:
        own_reads: the policy, if it is the user's own, reads logits.
    """
    names = {policy.policy, policy.signal if policy.policy == "quantile" else None, record}
    if "varentropy" in names:
        raise UserError(
            "varentropy cannot be read from the most likely tokens alone, which is what a server gives: use entropy, "
            "margin or top_p"
        )
    if record:
        return f"record={record}"
    return f"policy={policy.policy}" if policy.policy in (*SIGNALS, "quantile") or own_reads else None
