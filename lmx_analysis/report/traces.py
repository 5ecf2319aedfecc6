"""What the report keeps of a run's traces: who wrote which characters, in which step, and at what cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lmx_files.runs import join
from lmx_files.runs.folders import Run

COSTS = ("kept", "forwards", "fed")
Mark = dict[str, Any]


@dataclass
class Marks:
    """The traces of one run, as the page shows them.

    Attributes:
        traces: what `mark` made of each, joined with the samples by key and text.
        costs: by task, sums over the texts that were joined; under ``texts`` and ``traced``, how many texts there
            were and how many of them were joined.
    """

    traces: join.Traces[Mark]
    costs: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, task: str, sample: dict[str, Any], texts: list[str]) -> list[Mark | None]:
        """Return the marks of a sample's texts; None where no trace is surely of that text."""
        found = self.traces.take(task, sample, texts)
        sums = self.costs.setdefault(task, dict.fromkeys((*COSTS, "texts", "traced"), 0))
        sums["texts"] += len(texts)
        for mark in (mark for mark in found if mark is not None):
            sums["traced"] += 1
            for name in COSTS:
                sums[name] += int(mark.get(name) or 0)
        return found

    def notes(self) -> list[str]:
        """Say which texts were left without a trace, for a run that has some; and let go of the traces."""
        self.traces.found.clear()
        has_some = any(count.joined or count.unlike or count.ambiguous for count in self.traces.counts.values())
        return self.traces.left_out() if has_some else []


def read_marks(run: Run) -> Marks:
    """Read the traces of a run, keeping about the size of the texts in memory."""
    return Marks(join.read_traces(run, mark) if run.sample_files else join.Traces())


def mark(line: dict[str, Any]) -> Mark:
    """Return what the page shows of one line of a traces file.

    ``pieces``: ``[source, length]`` in UTF-16 units, which is how a browser counts; left out if the pieces do not add
    up to the text. ``steps``: for each piece the forward in which it was filled, where the decoder says so.
    """
    trace = line.get("trace") or {}
    kept: Mark = {"finish": str(trace["finish"])} if "finish" in trace else {}
    kept |= {name: trace[name] for name in (*COSTS, "seconds") if _is_number(trace.get(name))}
    pieces = [(str(source), str(text)) for source, text in line.get("pieces") or []]
    if pieces and "".join(text for _, text in pieces) == line.get("text"):
        kept["pieces"] = [[source, _utf16(text)] for source, text in pieces]
        steps = _steps(trace, len(pieces))
        if steps is not None:
            kept["steps"] = steps
    return kept


def _steps(trace: dict[str, Any], pieces: int) -> list[int] | None:
    """Return one step a piece from ``extra["steps"]``, which holds one a token.

    Pieces of one token each take the steps as they are. A piece of several tokens, which is one segment of the trace,
    takes the last of its steps: that in which it was complete. A text in one piece has no order to show.
    """
    steps = (trace.get("extra") or {}).get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
        return None
    if len(steps) == pieces:
        return steps
    segments = trace.get("segments") or []
    if len(segments) != pieces or pieces == 1:
        return None
    spans = [steps[segment["start"] : segment["end"]] for segment in segments]
    return [max(span) for span in spans] if all(spans) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < 2**62


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
