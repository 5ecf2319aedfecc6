"""The protocol between a decoder and whatever runs it.

A decoder is a generator for *one* sequence. It yields `Feed` objects (what it wants computed) and receives logits, or
yields `Generate` objects (what a server is to write) and receives a `Reply`; it returns a `Generation`. It knows
nothing of batches, caches, devices, connections or text files.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Finish = Literal["eos", "stop", "length", "context"]


@dataclass(frozen=True, slots=True)
class Feed:
    """A request for one forward of `tokens` through the model called `model`.

    Attributes:
        model: name of the model, e.g. ``"base"`` or ``"oracle"``.
        tokens: ids to feed, in the order in which they are written to the cache.
        at: cached tokens to go on from; slots behind it are forgotten first. None: all that is cached.
        positions: position (RoPE) of each token; None: ``at, at + 1, ...``.
        keep: how many of `tokens` stay in the cache after the forward; None: all of them.
        logits: for how many of the last tokens logits are wanted. The reply has shape ``[logits, vocabulary]``.
        full: each fed token sees all fed tokens (block diffusion) and not only the earlier ones.
    """

    model: str
    tokens: Sequence[int]
    at: int | None = None
    positions: Sequence[int] | None = None
    keep: int | None = None
    logits: int = 1
    full: bool = False


@dataclass(frozen=True, slots=True)
class Generate:
    """A request for up to `n` more tokens from the server that stands for the model called `model`.

    Attributes:
        model: name of the model, e.g. ``"oracle"``.
        prompt: ids of the prompt, or its text where the server's model has a chat template of its own.
        tokens: the answer so far.
        n: most tokens wanted.
        sampling: the sampler's settings (an `engine.sampling.Sampling`).
        seed: of the server's sampling; None when greedy.
        top: of how many of the most likely tokens the log-probabilities are wanted at each position.
    """

    model: str
    prompt: Sequence[int] | str
    tokens: Sequence[int]
    n: int
    sampling: Any
    seed: int | None = None
    top: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server wrote.

    Attributes:
        tokens: the new ids, at most as many as asked for (more only from a server whose text cannot be cut).
        ended: the model ended its text behind them, or with the last of them.
        top: log-probabilities (nats) of the most likely tokens, descending, at each position and at the one behind
            the last; None where the server gives none.
        prompt_tokens, completion_tokens: as the server counts (and bills) them.
        seconds: from the first attempt to the reply. attempts: 1 if nothing went wrong.
    """

    tokens: list[int]
    ended: bool
    top: list[list[float]] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Generated tokens ``[start, end)`` that came from one source (``base``, ``oracle``, ``ar``, ...)."""

    source: str
    start: int
    end: int


@dataclass(slots=True)
class Generation:
    """What a decoder returns: generated ids (a closing end-of-text id included), their sources, why it stopped.

    `dropped` counts tokens that were written and thrown away again. `extra` holds what only this method knows.
    """

    tokens: list[int]
    segments: list[Segment]
    finish: Finish
    dropped: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


# A `Feed` is answered with logits (a tensor of shape [logits, vocabulary]), a `Generate` with a `Reply`.
Decoding = Generator[Feed | Generate, Any, Generation]


def extend_segments(segments: list[Segment], source: str, end: int) -> None:
    """Make `segments` cover the tokens up to `end`, giving the new ones to `source` (in place)."""
    start = segments[-1].end if segments else 0
    if end <= start:
        return
    if segments and segments[-1].source == source:
        segments[-1] = Segment(source, segments[-1].start, end)
    else:
        segments.append(Segment(source, start, end))


def cut_segments(segments: list[Segment], end: int) -> None:
    """Forget what `segments` say of the tokens from `end` on (in place)."""
    while segments and segments[-1].start >= end:
        segments.pop()
    if segments and segments[-1].end > end:
        segments[-1] = Segment(segments[-1].source, segments[-1].start, end)
