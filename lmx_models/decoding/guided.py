"""Guided decoding: a small base writes; at chosen points a larger oracle writes the next k tokens."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lmx_models.decoding.base import (
    Decoding,
    Feed,
    Finish,
    Generation,
    Segment,
    cut_segments,
    extend_segments,
)
from lmx_models.decoding.policies import Point, Policy
from lmx_models.decoding.signals import SIGNALS, top_p
from lmx_models.decoding.stopping import Stopping
from lmx_models.engine.sampling import Sampling, sample
from lmx_plugins.errors import UserError, unknown

Consultation = Generator[Feed, torch.Tensor, Finish | None]
HANDBACKS = ("k", "newline", "confident")


@dataclass(frozen=True)
class GuidedConfig:
    """Settings of guided decoding.

    Attributes:
        c: most consultations of the oracle per text (``inf``: no limit).
        k: most tokens the oracle writes per consultation (``inf``: until the end).
        max_oracle_tokens: most oracle tokens per text, all consultations together (to match budgets of policies).
        handback: the oracle stops after ``k`` tokens, at the first ``newline``, or when it is ``confident`` (its top
            probability reaches `oracle_confidence`); k is a limit in each case.
        discard: base tokens thrown away before the oracle writes (never tokens of the oracle).
        oracle_temperature: 0 is greedy, as published.
        record: a signal logged at every base token (entropy, varentropy, margin, top_p), for calibration.
    """

    c: float = 20
    k: float = 10
    max_oracle_tokens: float = float("inf")
    handback: str = "k"
    oracle_confidence: float = 0.9
    discard: int = 0
    oracle_temperature: float = 0.0
    record: str | None = None

    def __post_init__(self) -> None:
        for name in ("c", "k", "max_oracle_tokens", "discard"):
            value = getattr(self, name)
            if not value >= 0 or (value != float("inf") and value != int(value)):
                raise UserError(f"{name}={value:g} must be a whole number of at least 0, or inf")
        if self.discard == float("inf"):
            raise UserError("discard=inf must be a whole number of at least 0")
        if self.handback not in HANDBACKS:
            raise unknown("handback", self.handback, HANDBACKS)
        if not 0 <= self.oracle_confidence <= 1:
            raise UserError(f"oracle_confidence={self.oracle_confidence} must lie in [0, 1]")
        if self.record is not None and self.record not in SIGNALS:
            raise unknown("signal in record", self.record, SIGNALS)

    @property
    def oracle_only(self) -> bool:
        """c = k = inf: the control in which the oracle writes everything."""
        return self.c == self.k == float("inf")


@dataclass(frozen=True)
class Translation:
    """How two models with different tokenizers share a text.

    prompt: the oracle's ids for the prompt, in its own chat template. encode, decode: text to the oracle's ids and
    back. eos: the oracle's end-of-text ids. to_base: new text to the base's ids. base_eos: the id that the base ends
    a text with. max_length: the oracle's context in its own tokens; past it the oracle is not asked.
    """

    prompt: tuple[int, ...]
    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    to_base: Callable[[str], list[int]]
    eos: frozenset[int]
    base_eos: int
    max_length: int


@dataclass(slots=True)
class _State:
    """The text so far, and how much of it each model has in its cache."""

    prompt: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    oracle_cached: list[int] = field(default_factory=list)  # only when the tokenizers differ
    seen: dict[str, int] = field(default_factory=lambda: {"base": 0, "oracle": 0})
    dropped: int = 0

    def unseen(self, model: str) -> Feed:
        """Ask `model` for the next token's logits, feeding it only what it has not seen."""
        length = len(self.prompt) + len(self.tokens)
        at = min(self.seen[model], length - 1)
        self.seen[model] = length
        if at >= len(self.prompt):
            return Feed(model, self.tokens[at - len(self.prompt) :], at=at)
        return Feed(model, [*self.prompt[at:], *self.tokens], at=at)

    def write(self, source: str, token: int) -> None:
        self.tokens.append(token)
        extend_segments(self.segments, source, len(self.tokens))

    def discard(self, n: int) -> None:
        """Throw away up to `n` base tokens at the end."""
        if n and self.segments and self.segments[-1].source == "base":
            end = max(len(self.tokens) - n, self.segments[-1].start)
            self.dropped += len(self.tokens) - end
            del self.tokens[end:]
            cut_segments(self.segments, end)
            length = len(self.prompt) + end
            self.seen = {model: min(seen, length) for model, seen in self.seen.items()}


def guided(
    prompt: Sequence[int],
    config: GuidedConfig,
    policy: Policy,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    policy_rng: random.Random,
    translation: Translation | None = None,
) -> Decoding:
    """Write with ``base``; where `policy` says so and budget is left, let ``oracle`` write the next k tokens.

    End of text from either model ends the text. Both models keep their own cache; a switch feeds only what the other
    has not seen. `rng` draws tokens, `policy_rng` serves the policy, so that c = 0 equals plain decoding of the base
    draw for draw, and c = k = inf equals plain decoding of the oracle.

    Args:
        translation: given when the tokenizers differ; then the oracle's text is handed over in whole characters.
    """
    state = _State(prompt)
    oracle_sampling = Sampling(config.oracle_temperature)
    consultations: list[dict[str, Any]] = []
    signal: list[list[float]] = []
    left = config.max_oracle_tokens
    reads_logits = getattr(policy, "reads_logits", True) and not config.oracle_only
    after_oracle = False

    while True:
        budget = min(config.k, left)
        may_ask = len(consultations) < config.c and budget > 0
        logits: torch.Tensor | None = None
        if not may_ask or reads_logits:
            logits = yield state.unseen("base")
        if may_ask:
            text = stopping.decode(state.tokens[-1:])
            at = len(state.tokens)
            row = logits[-1] if logits is not None else None
            point = Point(at, stopping.max_tokens, text, row, after_oracle, policy_rng)
            if config.oracle_only or policy(point):
                state.discard(config.discard)
                start = len(state.tokens)
                if translation is None:
                    finish = yield from _oracle_tokens(state, budget, config, oracle_sampling, stopping, rng)
                else:
                    finish = yield from _oracle_text(state, budget, config, oracle_sampling, stopping, rng, translation)
                written = len(state.tokens) - start
                left -= written
                consultations.append({"at": start, "asked_at": at, "tokens": written})
                if finish:
                    return _generation(state, finish, consultations, config, signal)
                if written:  # an unfinished character is nothing to hand over: then the base goes on
                    after_oracle = True
                    continue
                logits = None
        after_oracle = False
        if logits is None:
            logits = yield state.unseen("base")
        if config.record:
            signal.append([len(state.tokens), round(SIGNALS[config.record](logits[-1]), 6)])
        state.write("base", sample(logits[-1], sampling, rng))
        if finish := stopping.check(state.tokens):
            return _generation(state, finish, consultations, config, signal)


def _oracle_tokens(
    state: _State,
    budget: float,
    config: GuidedConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
) -> Consultation:
    """Let the oracle write up to `budget` tokens; return why the text ended, or None."""
    written = 0
    while written < budget:
        logits = yield state.unseen("oracle")
        state.write("oracle", sample(logits[-1], sampling, rng))
        written += 1
        if finish := stopping.check(state.tokens):
            return finish
        if _hands_back(config, stopping.decode(state.tokens[-1:]), logits[-1]):
            break
    return None


def _oracle_text(
    state: _State,
    budget: float,
    config: GuidedConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    translation: Translation,
) -> Consultation:
    """As `_oracle_tokens`, for another tokenizer: whole characters are handed over; `budget` counts its own tokens."""
    shared = [*translation.prompt, *translation.encode(stopping.decode(state.tokens))]
    # Neither past the oracle's context nor, for k=inf, far past the answer's limit, which counts the base's tokens.
    room = 4 * (stopping.max_tokens - len(state.tokens))
    budget = min(budget, translation.max_length - len(shared), room)
    if budget <= 0:
        return None
    at = min(_common_prefix(shared, state.oracle_cached), len(shared) - 1)
    logits = yield Feed("oracle", shared[at:], at=at)
    state.oracle_cached = list(shared)
    fresh: list[int] = []
    ended = False
    while len(fresh) < budget:
        token = sample(logits[-1], sampling, rng)
        if ended := token in translation.eos:
            break
        fresh.append(token)
        if len(fresh) >= budget or _hands_back(config, translation.decode([token]), logits[-1]):
            break
        logits = yield Feed("oracle", [token])
        state.oracle_cached.append(token)
    before = translation.decode(shared[len(translation.prompt) :])
    text = translation.decode([*shared[len(translation.prompt) :], *fresh])[len(before) :]
    for token in translation.to_base(text.rstrip("\ufffd")):
        state.write("oracle", token)
        if finish := stopping.check(state.tokens):
            return finish
    if ended:
        state.write("oracle", translation.base_eos)
        return "eos"
    return None


def _hands_back(config: GuidedConfig, text: str, logits: torch.Tensor) -> bool:
    if config.handback == "newline":
        return "\n" in text
    return config.handback == "confident" and top_p(logits) >= config.oracle_confidence


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def _generation(
    state: _State,
    finish: Finish,
    consultations: list[dict[str, Any]],
    config: GuidedConfig,
    signal: list[list[float]],
) -> Generation:
    extra: dict[str, Any] = {"consultations": consultations}
    if config.record:
        extra["signal"] = {"name": config.record, "values": signal}
    return Generation(state.tokens, state.segments, finish, state.dropped, extra)
