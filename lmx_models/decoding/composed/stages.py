"""Decoders one after another inside one decoder: each stage is a whole text of its own, with its own prompt."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from lmx_models.core.base import Decoding, Feed, Generate, Generation, Segment


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage asked of the models.

    forwards: the prefill and the last one included. prefill / decode: tokens fed in each model's first forward / in
    all later ones. dropped: tokens written and thrown away again. seconds: from the stage's first feed to its end,
    waiting for other texts of the batch included.
    """

    forwards: int
    prefill: int
    decode: int
    dropped: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StageResult:
    """A finished stage.

    Attributes:
        name: of the stage, e.g. ``plan``.
        text: what it wrote, without a closing end-of-text id, cut before a stop string. Nothing else changes it.
        generation: its tokens, segments and finish reason, as the stage's own decoder returned them.
        about: how it was asked: models by role, method, settings, tokens in the prompt.
    """

    name: str
    text: str
    generation: Generation
    cost: StageCost
    about: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """Return the stage as JSON-serialisable data, for the trace."""
        several = {"segments": [dataclasses.asdict(one) for one in self.generation.segments]}
        return {
            "stage": self.name,
            **self.about,
            **(several if len(self.about["models"]) > 1 else {}),
            "text": self.text,
            "tokens": self.generation.tokens,
            "finish": self.generation.finish,
            "cost": dataclasses.asdict(self.cost),
            "extra": self.generation.extra,
        }

    def segments(self, source: str) -> list[Segment]:
        """Return the segments of its tokens as written by `source` (``source.role`` where several models write)."""
        several = len(self.about["models"]) > 1
        return [
            Segment(f"{source}.{segment.source}" if several else source, segment.start, segment.end)
            for segment in self.generation.segments
        ]


Stage = Generator[Feed | Generate, Any, StageResult]


def run_stage(
    name: str,
    decoding: Decoding,
    models: Mapping[str, str],
    answer: Callable[[Generation], str],
    about: Mapping[str, Any],
) -> Stage:
    """Run one decoder as a stage of a longer one.

    Args:
        decoding: the stage's decoder.
        models: from the model names that it feeds to the names under which the scheduler knows them. Each of these
            begins with an empty row: what an earlier stage left there is forgotten.
        answer: what it wrote to the text that later stages get (`Stopping.answer`).
        about: kept in the result; ``about["models"]`` has the models by the roles that they play in the decoder.
    """
    started = time.perf_counter()
    fed: set[str] = set()
    forwards = prefill = decode = 0
    try:
        feed = next(decoding)
        while True:
            assert isinstance(feed, Feed), "servers take no part in stages"
            model = models[feed.model]
            begins = model not in fed
            fed.add(model)
            forwards += 1
            prefill += len(feed.tokens) if begins else 0
            decode += 0 if begins else len(feed.tokens)
            feed = decoding.send((yield dataclasses.replace(feed, model=model, at=0 if begins else feed.at)))
    except StopIteration as end:
        generation: Generation = end.value
    seconds = round(time.perf_counter() - started, 4)
    cost = StageCost(forwards, prefill, decode, generation.dropped, seconds)
    return StageResult(name, answer(generation), generation, cost, about)
