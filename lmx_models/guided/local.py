"""Guided decoding with both models on this machine: by tokens, or by text between models of two families."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_models.core.base import Decoding
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.oracles import Translation
from lmx_models.decoding.guided.policies import POLICIES, Policy, PolicyConfig, calibrate
from lmx_models.decoding.guided.state import Watch
from lmx_models.harness.decoder_lm import DEFAULT_MODEL
from lmx_models.methods.guided import GUIDED
from lmx_models.methods.method import Method
from lmx_models.methods.model import MethodLM
from lmx_models.methods.weights import Weights
from lmx_models.records.fingerprint import file_identity
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.zoo import catalogue
from lmx_models.zoo.loading import encode_prompt, end_ids, model_name, same_tokenizer
from lmx_models.zoo.resolved import Resolved

log = logging.getLogger(__name__)

DEFAULT_ORACLE = "smollm2-360m"


class LocalGuidedLM(MethodLM):
    """Guided decoding with both models on this machine; see `lmx_models.guided.model.GuidedLM`.

    Attributes:
        watch: called after every token of every text, for those who look on.
    """

    described: ClassVar[Method] = GUIDED
    configs: ClassVar[tuple[type, ...]] = (GuidedConfig, PolicyConfig)

    def __init__(self, pretrained: Any = None, oracle: str | None = None, base: Any = None, **kwargs: Any) -> None:
        self.watch: Watch | None = None
        self._chats: dict[str, list[dict[str, str]]] = {}
        self._thresholds: dict[tuple[object, ...], float] = {}
        self._user_policies: dict[str, Policy] = {}
        super().__init__(pretrained, oracle=oracle, base=base, **kwargs)

    @property
    def oracle_name(self) -> str:
        """The oracle as the user named it."""
        return self.models_named["oracle"]

    def _others(self, pretrained: Any, kwargs: Mapping[str, Any]) -> dict[str, str]:
        self.base_name = model_name(pretrained)
        oracle, self._fallback = _choose_oracle(pretrained, kwargs.get("oracle"))
        return {"oracle": oracle}

    def _load(self, found: Mapping[str, Resolved | None], self_check: bool) -> dict[str, Weights]:
        if self._fallback:
            self.notes.append(self._fallback)
            log.warning(self._fallback)
        return super()._load(found, self_check)

    def _check_fit(self) -> None:
        """Models of two families are bridged by text."""
        oracle = self.weights["oracle"]
        self.oracle, self.oracle_tokenizer = oracle.model, oracle.tokenizer
        self.token_level = same_tokenizer(self.tokenizer, self.oracle_tokenizer)
        if not self.token_level:
            note = (
                f"base {self._asked_name} and oracle {oracle.name} have different tokenizers: text is handed over in "
                "whole characters, each model in its own chat template"
            )
            self.notes.append(note)
            log.warning(note)

    def source_ids(self) -> frozenset[int]:
        """End of text from either model ends the text."""
        ids = end_ids(self.model, self.tokenizer)
        return ids | end_ids(self.oracle, self.oracle_tokenizer) if self.token_level else ids

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
        return {**super().identity(values), "policy_files": [file_identity(file) for file in files if file]}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the oracle and how text is handed over."""
        level = "token" if self.token_level else "text"
        return {**super().describe(), "handover": level}

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
