"""A guided text while it is written: what stands, who wrote it, what each model has seen, what servers were asked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmx_models.core.base import Feed, Finish, Generate, Reply, Segment, cut_segments, extend_segments

# Called after every change with the tokens and segments so far, for those who look on while a text is written.
Watch = Callable[[Sequence[int], Sequence[Segment]], None]
Consultation = Generator[Feed | Generate, Any, Finish | None]


@dataclass(slots=True)
class State:
    """The text so far, and how much of it each local model has in its cache.

    revision: grows with every change. calls: what was asked of each server, by the model's name. spent: tokens that the
    oracle has written, as its own tokenizer counts them. turn: the next token begins a segment, whoever wrote the last.
    """

    prompt: Sequence[int]
    watch: Watch | None = None
    tokens: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    oracle_cached: list[int] = field(default_factory=list)  # only when the tokenizers differ
    seen: dict[str, int] = field(default_factory=lambda: {"base": 0, "oracle": 0})
    dropped: int = 0
    revision: int = 0
    spent: int = 0
    turn: bool = False
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)

    def unseen(self, model: str) -> Feed:
        """Ask a local model for the next token's logits, feeding it only what it has not seen."""
        length = len(self.prompt) + len(self.tokens)
        at = min(self.seen[model], length - 1)
        self.seen[model] = length
        if at >= len(self.prompt):
            return Feed(model, self.tokens[at - len(self.prompt) :], at=at)
        return Feed(model, [*self.prompt[at:], *self.tokens], at=at)

    def ask(self, request: Generate) -> Generator[Feed | Generate, Any, Reply]:
        """Ask a server, and keep count."""
        reply: Reply = yield request
        prompt = 0 if request.tokens else reply.prompt_tokens
        none = {"calls": 0, "retries": 0, "prompt": prompt, "prompt_tokens": 0, "completion_tokens": 0, "latency": []}
        calls = self.calls.setdefault(request.model, none)
        calls["calls"] += 1
        calls["retries"] += reply.attempts - 1
        calls["prompt_tokens"] += reply.prompt_tokens
        calls["completion_tokens"] += reply.completion_tokens
        calls["latency"].append(round(reply.seconds, 3))
        return reply

    def write(self, source: str, token: int) -> None:
        """Append a token of `source`."""
        self.tokens.append(token)
        if self.turn:
            self.segments.append(Segment(source, len(self.tokens) - 1, len(self.tokens)))
            self.turn = False
        else:
            extend_segments(self.segments, source, len(self.tokens))
        self.revision += 1
        if self.watch:
            self.watch(self.tokens, self.segments)

    def discard(self, n: int) -> None:
        """Throw away up to `n` base tokens at the end."""
        if n and self.segments and self.segments[-1].source == "base":
            self.drop(len(self.tokens) - max(len(self.tokens) - n, self.segments[-1].start))

    def drop(self, n: int) -> None:
        """Throw away the last `n` tokens, whoever wrote them."""
        end = len(self.tokens) - n
        self.dropped += n
        del self.tokens[end:]
        cut_segments(self.segments, end)
        self.revision += 1
        length = len(self.prompt) + end
        self.seen = {model: min(seen, length) for model, seen in self.seen.items()}
