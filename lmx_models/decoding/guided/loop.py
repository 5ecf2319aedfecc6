"""Guided decoding: a small base writes; at chosen points a larger oracle writes the next k tokens."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from typing import Any

import torch

from lmx_models.core.base import Decoding, Feed, Generate, Generation
from lmx_models.core.pieces import unfinished
from lmx_models.core.sampling import Sampling, sample
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.oracles import Translation, oracle_text, oracle_tokens
from lmx_models.decoding.guided.policies import Point, Policy
from lmx_models.decoding.guided.remote import Remote, RemoteBase, oracle_remote
from lmx_models.decoding.guided.signals import SIGNALS
from lmx_models.decoding.guided.state import Consultation, State, Watch


class LocalBase:
    """The next token of a base on this machine."""

    def __init__(self, sampling: Sampling, rng: random.Random) -> None:
        self.sampling, self.rng = sampling, rng
        self._row: torch.Tensor | None = None

    def look(self, state: State, may_ask: bool) -> Generator[Feed | Generate, Any, torch.Tensor]:
        """Return the next token's logits ``[vocabulary]``."""
        logits = yield state.unseen("base")
        self._row = logits[-1]
        return logits[-1]

    def draw(self) -> int:
        """Draw the token from what was looked at."""
        assert self._row is not None
        return sample(self._row, self.sampling, self.rng)

    def seen(self) -> dict[str, Any]:
        """Nothing to add for a trace: the signals are exact."""
        return {}


# long: the loop in one piece, as it is published
def guided(
    prompt: Sequence[int],
    config: GuidedConfig,
    policy: Policy,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    policy_rng: random.Random,
    translation: Translation | None = None,
    remote_base: Remote | None = None,
    remote_oracle: Remote | None = None,
    watch: Watch | None = None,
) -> Decoding:
    """Write with ``base``; where `policy` says so and budget is left, let ``oracle`` write the next k tokens.

    End of text from either model ends the text. Local models keep their own caches; a switch feeds only what the
    other has not seen. `rng` draws tokens, `policy_rng` serves the policy, so that c = 0 equals plain decoding of the
    base draw for draw, and c = k = inf equals plain decoding of the oracle.

    Args:
        translation: given when a local oracle has a tokenizer of its own; then text is handed over in whole characters.
        remote_base, remote_oracle: given when they are on a server.
        watch: called after every token.
    """
    state = State(prompt, watch)
    base = LocalBase(sampling, rng) if remote_base is None else RemoteBase(remote_base, sampling, stopping, rng)
    consultations: list[dict[str, Any]] = []
    signal: list[list[float]] = []
    bounds: list[dict[str, Any]] = []
    reads_logits = getattr(policy, "reads_logits", True) and not config.oracle_only
    after_oracle = due = False
    as_text = translation is not None or (remote_oracle is not None and remote_oracle.text)

    while True:
        budget = min(config.k, config.max_oracle_tokens - state.spent)
        may_ask = len(consultations) < config.c and budget > 0
        row: torch.Tensor | None = None
        looked = not may_ask or reads_logits
        if looked:
            row = yield from base.look(state, may_ask)
        if may_ask:
            text = stopping.decode(state.tokens[-1:])
            at = len(state.tokens)
            point = Point(at, stopping.max_tokens, text, row, after_oracle, policy_rng)
            due = config.oracle_only or policy(point) or due
            # As text a character cannot change hands within, so a consultation waits for its end.
            if due and not (as_text and unfinished(stopping.decode, state.tokens)):
                due = False
                seen = base.seen() if looked else {}
                state.discard(config.discard)
                if as_text:
                    state.discard(unfinished(stopping.decode, state.tokens))
                start, spent = len(state.tokens), state.spent
                state.turn = True
                finish = yield from _consult(state, budget, config, stopping, rng, remote_oracle or translation)
                state.turn = False
                written, own = len(state.tokens) - start, state.spent - spent
                consultations.append({"at": start, "asked_at": at, "tokens": written, "oracle_tokens": own, **seen})
                if finish:
                    break
                if written:  # an unfinished character is nothing to hand over: then the base goes on
                    after_oracle = True
                    continue
                looked = False
        after_oracle = False
        if not looked:
            row = yield from base.look(state, may_ask)
        if config.record:
            assert row is not None  # a server that gives no log-probabilities is refused before
            signal.append([len(state.tokens), round(SIGNALS[config.record](row), 6)])
            bounds.append(base.seen())
        state.write("base", base.draw())
        if row is not None and remote_base is None:
            stopping.record(len(state.tokens) - 1, row, state.tokens[-1])
        if finish := stopping.check(state.tokens):
            break

    extra: dict[str, Any] = {"consultations": consultations}
    if config.record:
        extra["signal"] = {"name": config.record, "values": signal}
        if remote_base is not None:
            extra["signal"] |= _truncated(config.record, bounds)
    if state.calls:
        extra["servers"] = state.calls
    return Generation(state.tokens, state.segments, finish, state.dropped, extra)


def _consult(
    state: State,
    budget: float,
    config: GuidedConfig,
    stopping: Stopping,
    rng: random.Random,
    oracle: Remote | Translation | None,
) -> Consultation:
    if isinstance(oracle, Remote):
        return oracle_remote(state, budget, config, stopping, rng, oracle)
    if isinstance(oracle, Translation):
        return oracle_text(state, budget, config, stopping, rng, oracle)
    return oracle_tokens(state, budget, config, stopping, rng)


def _truncated(name: str, bounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mark a signal that was read from the most likely tokens only; the entropy's values are lower bounds."""
    marks: dict[str, Any] = {"truncated": max((one.get("truncated", 0) for one in bounds), default=0)}
    if name == "entropy":
        marks["upper"] = [one["entropy"][1] for one in bounds]
    return marks
