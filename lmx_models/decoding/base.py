"""The protocol between a decoder and whatever runs it.

A decoder is a generator for *one* sequence. It yields `Feed` objects (what it wants computed), receives the
logits, and returns a `Generation`. It knows nothing of batches, caches, devices or text files.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

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


Decoding = Generator[Feed, torch.Tensor, Generation]


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
