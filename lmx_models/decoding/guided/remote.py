"""Guided decoding with a base or an oracle on a server, which writes several tokens a request.

A server keeps nothing for us: each request holds the text so far. Two things make up for it. The base is asked for
some tokens ahead; the policy looks at them one by one, as at those of a local base, and what stands behind a
consultation is thrown away. Each token is drawn given those before it, so this changes no distribution, and nothing at
all at temperature 0. And policies that read the base's distribution read it from the log-probabilities of its most
likely tokens, which a server returns with them.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Feed, Generate, Reply
from lmx_models.core.pieces import unfinished, whole
from lmx_models.core.sampling import Sampling
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.guided.bounds import entropy_bounds, least_entropy
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.oracles import hands_back
from lmx_models.decoding.guided.state import Consultation, State

LONG = 64  # most tokens asked for at once where the text may have to end or change hands within them


@dataclass(frozen=True)
class Remote:
    """What a decoder must know of a model on a server.

    Attributes:
        end: the id that is written where the model ends its text.
        ahead: most tokens asked of a base at once while the oracle may still be consulted.
        top: log-probabilities wanted at each position; 0: none.
        vocabulary: number of tokens, for the upper bound of the entropy.
        prompt: the prompt as text, where the model has a chat template of its own.
        exact: what it writes can be cut at every token. text: it is sent text, or answers with it, so that a character
            cannot change hands within.
    """

    end: int
    ahead: int = LONG
    top: int = 0
    vocabulary: int = 1 << 18
    prompt: str | None = None
    exact: bool = True
    text: bool = False


class RemoteBase:
    """The next token of a base on a server; the counterpart of `guided.LocalBase`."""

    def __init__(self, remote: Remote, sampling: Sampling, stopping: Stopping, rng: random.Random) -> None:
        self.remote, self.sampling, self.stopping, self.rng = remote, sampling, stopping, rng
        self._ahead: deque[tuple[int, list[float] | None]] = deque()
        self._revision = 0
        self._since = 0  # tokens drawn since the oracle last wrote

    def look(self, state: State, may_ask: bool) -> Generator[Feed | Generate, Any, torch.Tensor | None]:
        """Have the next token at hand; return its distribution (that of least entropy that fits), if there is one.

        Args:
            may_ask: the oracle may still be consulted.
        """
        if self._revision != state.revision:  # the oracle has written, or tokens were thrown away
            self._ahead.clear()
            self._since = 0
        if not self._ahead:
            self._revision = state.revision
            yield from self._fetch(state, may_ask)
        top = self._ahead[0][1]
        return least_entropy(top, self.remote.vocabulary) if top and self.remote.top else None

    def draw(self) -> int:
        """Return the token that was looked at; it must be written next."""
        self._revision += 1
        self._since += 1
        return self._ahead.popleft()[0]

    def seen(self) -> dict[str, Any]:
        """Return what a trace keeps of the distribution that was looked at: bounds of its entropy (nats)."""
        top = self._ahead[0][1] if self._ahead else None
        if not top:
            return {}
        low, high = entropy_bounds(top, self.remote.vocabulary)
        return {"entropy": [round(low, 6), round(high, 6)], "truncated": len(top)}

    def _fetch(self, state: State, may_ask: bool) -> Generator[Feed | Generate, Any, None]:
        n = _room(state, self.stopping)
        if may_ask:
            # A reply that cannot be cut ends where the policy may fire next: a multiple of `ahead` behind the oracle.
            n = min(n, self.remote.ahead - (0 if self.remote.exact else self._since % self.remote.ahead))
        # The oracle may have stopped within a character, which text cannot tell: the base begins with all of it.
        half = unfinished(self.stopping.decode, state.tokens) if self.remote.text else 0
        before = state.tokens[: len(state.tokens) - half]
        # Nothing may come of the first bytes of a character; then more of them are asked for.
        for more in (0, 8, LONG):
            seed = self.rng.getrandbits(31) if self.sampling.temperature else None
            size = n + half + more
            request = Generate("base", state.prompt, list(before), size, self.sampling, seed, self.remote.top)
            reply: Reply = yield from state.ask(request)
            if len(reply.tokens) > half or reply.ended:
                break
        if self.remote.top and reply.tokens and reply.top is None:
            raise UserError(
                "the base's server returned no log-probabilities, which the policy reads: use policy=ramp, fixed, "
                "random or step_boundary, or a server that gives logprobs in /v1/completions (vLLM, llama.cpp)"
            )
        tokens = list(reply.tokens)
        if (reply.ended or not tokens) and (not tokens or tokens[-1] not in self.stopping.eos):
            tokens.append(self.remote.end)
        tops = reply.top or [[]]
        fresh = [(token, tops[min(i, len(tops) - 1)]) for i, token in enumerate(tokens)]
        if half and tokens[:half] == state.tokens[-half:] and len(tokens) > half:
            fresh = fresh[half:]
        elif half:  # another character comes of it
            state.drop(half)
            self._revision = state.revision
        self._ahead.extend(fresh)


def oracle_remote(
    state: State, budget: float, config: GuidedConfig, stopping: Stopping, rng: random.Random, remote: Remote
) -> Consultation:
    """Let the oracle on a server write up to `budget` tokens; return why the text ended, or None."""
    sampling = Sampling(config.oracle_temperature)
    prompt = state.prompt if remote.prompt is None else remote.prompt
    start, spent = len(state.tokens), state.spent
    while (used := max(len(state.tokens) - start, state.spent - spent)) < budget:
        n = int(min(budget - used, _room(state, stopping), LONG if config.watches_oracle else math.inf))
        n = n if remote.exact or not config.watches_oracle else 1
        for more in (0, 8, LONG):  # the first bytes of a character may come to nothing
            seed = rng.getrandbits(31) if sampling.temperature else None
            request = Generate("oracle", prompt, list(state.tokens), n + more, sampling, seed, remote.top)
            reply: Reply = yield from state.ask(request)
            if reply.tokens or reply.ended or not remote.text:
                break
        tokens = whole(stopping.decode, reply.tokens, n) if remote.text else reply.tokens
        own = _own_tokens(reply, remote)
        for i, token in enumerate(tokens):
            state.write("oracle", token)
            if finish := stopping.check(state.tokens):
                return finish
            confidence = math.exp(reply.top[i][0]) if reply.top else 0.0
            if config.watches_oracle and hands_back(config, stopping.decode([token]), confidence):
                state.spent += math.ceil(own * (i + 1))
                return None
        state.spent += math.ceil(own * len(tokens))
        if reply.ended and len(tokens) == len(reply.tokens):
            state.write("oracle", remote.end)
            return "eos"
        if not tokens:
            break
    return None


def _own_tokens(reply: Reply, remote: Remote) -> float:
    """Return how many tokens of the server's own tokenizer one of the reply's stands for; 1 where they are the same."""
    counted = remote.text and reply.tokens and reply.completion_tokens
    return reply.completion_tokens / len(reply.tokens) if counted else 1.0


def _room(state: State, stopping: Stopping) -> int:
    """Return how many tokens to ask for at most: the rest of the answer, in parts if a stop string may end it."""
    rest = stopping.max_tokens - len(state.tokens)
    return min(rest, LONG) if stopping.strings else rest
