"""When runs took place: which of them shared a machine's cores, so that their times are longer than alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lmx_files.runs.folders import Run


@dataclass(frozen=True)
class Span:
    """Where and when something ran; seconds since the epoch."""

    host: str
    start: float
    end: float


def span(host: object, started: object, seconds: object) -> Span | None:
    """Return a span from what files say of it (`started` in ISO 8601); None if one of these is not known."""
    if not isinstance(host, str) or not isinstance(started, str) or isinstance(seconds, bool):
        return None
    try:
        start, length = datetime.fromisoformat(started).timestamp(), float(seconds)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return Span(host, start, start + length) if math.isfinite(length) and length > 0 else None


def span_of(run: Run) -> Span | None:
    """Return when a run took place, by its manifest; None for a run without one."""
    machine = run.manifest.get("machine")
    host = machine.get("host") if isinstance(machine, dict) else None
    return span(host, run.manifest.get("started"), run.manifest.get("seconds"))


def side_by_side(spans: Mapping[str, Span | None]) -> list[str]:
    """Return the names of those that ran at the same time as another one on the same machine, in order.

    A second in common does not count: start-ups and clean-ups overlap where one run follows another.
    """
    known = {name: each for name, each in spans.items() if each is not None}
    return [
        name
        for name, a in known.items()
        if any(
            other != name and a.host == b.host and min(a.end, b.end) - max(a.start, b.start) > 1
            for other, b in known.items()
        )
    ]


def has_all_times(run: Run) -> bool:
    """Whether the run's seconds are those of all its texts: none was written by an earlier attempt."""
    return not run.decoding.get("texts_from_journal")
