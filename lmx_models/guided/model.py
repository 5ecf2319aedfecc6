"""``--model guided``: a small base writes; where a policy says so, a larger oracle writes the next k tokens."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.values import read_bool
from lmx_models.core.base import Decoding
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.oracles import Translation
from lmx_models.decoding.guided.policies import POLICIES, Policy, PolicyConfig, calibrate
from lmx_models.decoding.guided.state import Watch
from lmx_models.engine.self_check import check
from lmx_models.engine.step_model import StepModel
from lmx_models.harness.decoder_lm import DEFAULT_MODEL, DecoderLM
from lmx_models.records.fingerprint import file_identity, model_identity
from lmx_models.servers.address import is_endpoint
from lmx_models.settings.arguments import build
from lmx_models.settings.generation_defaults import unheeded
from lmx_models.settings.requests import Request
from lmx_models.settings.sizes import expand
from lmx_models.zoo import catalogue
from lmx_models.zoo.loading import encode_prompt, end_ids, load, model_name, same_tokenizer

log = logging.getLogger(__name__)

DEFAULT_ORACLE = "smollm2-360m"


class GuidedLM(DecoderLM):
    """Guided decoding.

    Args:
        pretrained: the base (see `DecoderLM`); ``base`` is another name for it.
        oracle: the oracle, named the same way. Without any model argument: base ``smollm2-135m`` and oracle
            ``smollm2-360m``; where the latter cannot be had, the base's own weights decoded greedily.
        **kwargs: fields of `GuidedConfig`, `PolicyConfig` and `Sampling` (the base's), and arguments of ``hf``.

    Either may also be on a server: ``openai:URL#MODEL``, or the name of a size (`settings.sizes`). Then this makes
    one of the classes in `lmx_models.guided.servers`, which take further arguments.

    Attributes:
        watch: called after every token of every text, for those who look on.
    """

    method: ClassVar[str] = "guided"
    configs: ClassVar[tuple[type, ...]] = (GuidedConfig, PolicyConfig)
    own_arguments: ClassVar[tuple[str, ...]] = ("oracle",)
    declared: ClassVar[Mapping[str, str]] = {"oracle": "by `identity`"}
    # Each text waits for one of two models; with twice as many texts alive, one of them always has a full batch.
    models_in_flight: ClassVar[int] = 2

    def __new__(
        cls, pretrained: Any = DEFAULT_MODEL, oracle: str | None = None, base: Any = None, **kwargs: Any
    ) -> GuidedLM:
        """Choose the class by where the two models are."""
        remote = [is_endpoint(expand(name)[0]) for name in (base or pretrained, oracle)]
        if cls is GuidedLM and any(remote):
            from lmx_models.guided.servers import GuidedByServer, GuidedOnServer

            cls = GuidedOnServer if remote[0] else GuidedByServer
        return super().__new__(cls, pretrained, oracle=oracle, base=base, **kwargs)

    def __init__(
        self, pretrained: Any = DEFAULT_MODEL, oracle: str | None = None, base: Any = None, **kwargs: Any
    ) -> None:
        if base is not None:
            if pretrained not in (DEFAULT_MODEL, base):
                raise UserError(f"pretrained={pretrained} and base={base} are two names for one thing: give one")
            pretrained = base
        self.watch: Watch | None = None
        self._chats: dict[str, list[dict[str, str]]] = {}
        self._thresholds: dict[tuple[object, ...], float] = {}
        self._user_policies: dict[str, Policy] = {}
        oracle, self._fallback = _choose_oracle(pretrained, oracle)
        self.base_name, self.oracle_name = model_name(pretrained), oracle
        self._find_oracle(oracle, kwargs)
        super().__init__(pretrained=pretrained, oracle=oracle, **kwargs)
        if self._fallback:
            self.notes.append(self._fallback)
            log.warning(self._fallback)
        self._load_oracle(oracle, read_bool("self_check", kwargs.get("self_check", True)))

    def _find_oracle(self, oracle: str, kwargs: dict[str, Any]) -> None:
        """Look for the oracle before the base's weights are loaded."""
        self._oracle = catalogue.resolve(oracle)

    def _load_oracle(self, oracle: str, self_check: bool) -> None:
        """Load the oracle, when the base is there."""
        if self._oracle.note and not self._fallback:
            self.notes.append(f"oracle: {self._oracle.note}")
        if self._oracle.pretrained == self.pretrained:
            self.oracle, self.oracle_tokenizer = self.model, self.tokenizer
        else:
            self.oracle, self.oracle_tokenizer = load(self._oracle, oracle, self.model.dtype, self.device)
            if self_check:
                check(self.oracle, oracle)
            if said := unheeded(self.oracle.generation_config, oracle):
                self.notes.append(f"oracle: {said}")
        self.token_level = same_tokenizer(self.tokenizer, self.oracle_tokenizer)
        if not self.token_level:
            note = (
                f"base {self._asked_name} and oracle {oracle} have different tokenizers: text is handed over in "
                "whole characters, each model in its own chat template"
            )
            self.notes.append(note)
            log.warning(note)

    def step_models(self, rows: int, slots: int) -> dict[str, StepModel]:
        """Base and oracle, each with its own cache; the same weights share one set of forwards."""
        if self.oracle is self.model:
            shared = StepModel(self.model, 2 * rows, slots)
            return {"base": shared, "oracle": shared}
        return {"base": StepModel(self.model, rows, slots), "oracle": StepModel(self.oracle, rows, slots)}

    def source_ids(self) -> frozenset[int]:
        """End of text from either model ends the text."""
        ids = super().source_ids()
        return ids | end_ids(self.oracle, self.oracle_tokenizer) if self.token_level else ids

    @property
    def max_length(self) -> int:
        """The smaller context of the two models."""
        own: int = super().max_length
        oracle = getattr(self, "oracle", None)  # not there yet while lm_eval loads the base
        return min(own, getattr(getattr(oracle, "config", None), "max_position_embeddings", own))

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        config: GuidedConfig = build(GuidedConfig, request.values)
        policy = self._policy(build(PolicyConfig, request.values), config.k)
        return guided(
            request.prompt,
            config,
            policy,
            request.sampling,
            request.stopping,
            request.rng("sample"),
            request.rng("policy"),
            watch=self.watch,
            **self.handover(request),
        )

    def handover(self, request: Request) -> dict[str, Any]:
        """Return the arguments of `guided` that say where the models are and how text passes between them."""
        return {} if self.token_level else {"translation": self._translation(request.context)}

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: the oracle too, and what a policy's name or file stands for."""
        policy: PolicyConfig = build(PolicyConfig, values)
        files = [policy.calibration] if policy.calibration else []
        if policy.policy not in POLICIES:
            files.append(inspect.getsourcefile(inspect.unwrap(self._policy(policy, 0))) or "")
        return {
            **super().identity(values),
            "oracle": self.oracle_identity(),
            "policy_files": [file_identity(file) for file in files if file],
        }

    def oracle_identity(self) -> Any:
        """Return what stands for the oracle in a journal."""
        commit = getattr(self.oracle.config, "_commit_hash", None)
        return model_identity(self._oracle.pretrained, self._oracle.revision, commit)

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the oracle and how text is handed over."""
        level = "token" if self.token_level else "text"
        return {**super().describe(), "oracle": self.oracle_name, "handover": level}

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render for the base; remember the chat, so that an oracle of another family gets its own template."""
        text: str = super().apply_chat_template(chat_history, add_generation_prompt)
        if not self.token_level and add_generation_prompt:
            self._chats[text] = chat_history
        return text

    def _policy(self, config: PolicyConfig, k: float) -> Policy:
        if config.policy not in POLICIES:
            if config.policy not in self._user_policies:
                self._user_policies[config.policy] = _import_policy(config.policy)
            return self._user_policies[config.policy]
        if config.policy == "quantile" and config.threshold is None:
            assert config.calibration is not None  # PolicyConfig sees to it
            key = (config.calibration, config.signal, config.share, k)
            if key not in self._thresholds:
                values = _read_signal(Path(config.calibration), config.signal)
                self._thresholds[key] = calibrate(values, config.signal, config.share, k)
                note = f"quantile: threshold {self._thresholds[key]:.4f} on {config.signal} from {len(values)} values"
                self.notes.append(note)
            config = dataclasses.replace(config, threshold=self._thresholds[key])
        return POLICIES[config.policy](config)

    def _translation(self, context: str) -> Translation:
        oracle, base = self.oracle_tokenizer, self.tokenizer
        chat = self._chats.get(context)
        if chat is not None and oracle.chat_template:
            rendered = oracle.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            prompt = oracle.encode(rendered, add_special_tokens=False)
        else:
            prompt = encode_prompt(oracle, context)
        return Translation(
            prompt=tuple(prompt),
            encode=lambda text: oracle.encode(text, add_special_tokens=False),
            decode=lambda tokens: oracle.decode(list(tokens), skip_special_tokens=True),
            eos=end_ids(self.oracle, oracle),
            to_base=lambda text: base.encode(text, add_special_tokens=False),
            base_eos=base.eos_token_id,
            max_length=self.oracle.config.max_position_embeddings,
        )


def _choose_oracle(pretrained: Any, oracle: str | None) -> tuple[str, str | None]:
    """Return the oracle's name, and a warning if it is not what was wished for."""
    if oracle is not None:
        if not isinstance(oracle, str):
            raise UserError(f"oracle={model_name(oracle)}: name the oracle (`lmx models`, a Hub id or a folder)")
        return oracle, None
    if pretrained != DEFAULT_MODEL:
        raise UserError(
            f"--model guided with pretrained={pretrained} needs oracle=MODEL: a short name (`lmx models`), a Hub id "
            "or a folder"
        )
    if catalogue.available(DEFAULT_ORACLE):
        return DEFAULT_ORACLE, None
    return DEFAULT_MODEL, (
        f"the oracle {DEFAULT_ORACLE} is neither cached nor reachable: the oracle is {DEFAULT_MODEL} itself, decoded "
        "greedily. Scores show the method at work, not what a larger oracle brings"
    )


def _import_policy(path: str) -> Policy:
    import importlib

    module, _, name = path.partition(":")
    try:
        policy = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"policy={path!r} cannot be imported ({error}): name it module:callable") from error
    if not callable(policy):
        raise UserError(f"policy={path!r} is not callable: it must take a Point and return a bool")
    return policy


def _read_signal(path: Path, signal: str) -> list[float]:
    """Read the values of `signal` that a run with ``record=<signal>`` left in its traces file."""
    values: list[float] = []
    for number, line in jsonl.numbered(path, "a traces file", last="skip"):
        try:
            recorded = line["trace"]["extra"].get("signal", {"name": signal, "values": []})
            if recorded["name"] == signal:
                values.extend(float(value) for _, value in recorded["values"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"calibration={path}, line {number}: not a line of a traces file ({error!r})") from error
    return values
