"""A consultation: an oracle on this machine writes, with the base's tokenizer or with one of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmx_models.core.base import Feed
from lmx_models.core.sampling import Sampling, sample
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.signals import top_p
from lmx_models.decoding.guided.state import Consultation, State


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


def oracle_tokens(
    state: State, budget: float, config: GuidedConfig, stopping: Stopping, rng: random.Random
) -> Consultation:
    """Let the oracle write up to `budget` tokens; return why the text ended, or None."""
    sampling = Sampling(config.oracle_temperature)
    written = 0
    while written < budget:
        logits = yield state.unseen("oracle")
        state.write("oracle", sample(logits[-1], sampling, rng))
        stopping.record(len(state.tokens) - 1, logits[-1], state.tokens[-1])
        written += 1
        state.spent += 1
        if finish := stopping.check(state.tokens):
            return finish
        text = stopping.decode(state.tokens[-1:])
        if config.watches_oracle and hands_back(config, text, top_p(logits[-1])):
            break
    return None


def oracle_text(
    state: State, budget: float, config: GuidedConfig, stopping: Stopping, rng: random.Random, translation: Translation
) -> Consultation:
    """As `oracle_tokens`, for another tokenizer: whole characters are handed over; `budget` counts its own tokens."""
    sampling = Sampling(config.oracle_temperature)
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
        state.spent += 1
        if len(fresh) >= budget:
            break
        if config.watches_oracle and hands_back(config, translation.decode([token]), top_p(logits[-1])):
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


def hands_back(config: GuidedConfig, text: str, confidence: float) -> bool:
    """Tell whether the oracle gives back after a token with this text, to which it gave this top probability."""
    if config.handback == "newline":
        return "\n" in text
    return config.handback == "confident" and confidence >= config.oracle_confidence


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
