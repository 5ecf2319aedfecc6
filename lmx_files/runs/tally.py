"""Counts the documents of a samples file against what the run says it evaluated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

SHOWN = 5


@dataclass
class Tally:
    """The documents of one task, by filter.

    Attributes:
        evaluated: documents that the results say were evaluated; None where they do not say.
        original: documents that the task has.
    """

    evaluated: int | None = None
    original: int | None = None
    seen: dict[str, set[int]] = field(default_factory=dict)
    doubled: set[int] = field(default_factory=set)

    def add(self, filter_name: str, doc_id: int) -> bool:
        """Count one logged sample and return whether it is the first of its document and filter."""
        documents = self.seen.setdefault(filter_name, set())
        if doc_id in documents:
            self.doubled.add(doc_id)
            return False
        documents.add(doc_id)
        return True

    def problem(self) -> str | None:
        """Return what is wrong with the samples as a whole, in words; None if each document is there once.

        More documents than were evaluated are none: a metric may leave some out, and lm_eval counts its values.
        """
        counts = {name: len(documents) for name, documents in self.seen.items()}
        if self.doubled:
            return f"{listed(self.doubled)} logged more than once"
        if not counts:
            return None if self.evaluated == 0 else "it holds no samples" + self._of()
        name, least = min(counts.items(), key=lambda item: item[1])
        if least < max(self.evaluated or 0, *counts.values()):
            which = f" under the filter {name!r}" if len(counts) > 1 else ""
            wanted = max(self.evaluated or 0, *counts.values())
            return f"it holds {least} of {wanted} documents{which}: it was cut off"
        if self.original is not None and max(counts.values()) > self.original:
            return f"it holds {max(counts.values())} documents, the task has {self.original}"
        return None

    def _of(self) -> str:
        return "" if self.evaluated is None else f", {self.evaluated} documents were evaluated"


def listed(ids: Iterable[int]) -> str:
    """Return how many documents there are and the numbers of the first few."""
    ordered = sorted(ids)
    shown = ", ".join(map(str, ordered[:SHOWN])) + (", ..." if len(ordered) > SHOWN else "")
    return f"{len(ordered)} document{'s' if len(ordered) != 1 else ''}: {shown}"
