"""Which items a set has before any word is drawn: flat over lengths, counts, categories, positions and formats."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.templates import DEFAULT_FORMAT

T = TypeVar("T")
SHORTEST, LONGEST = 1, 100


@dataclass(frozen=True)
class Design:
    """What is asked for. A cell is a length with a count that is not above it.

    Attributes:
        lengths: words of a list. counts: right answers. positions, formats: of the templates, each equally often.
    """

    lengths: tuple[int, ...] = tuple(range(5, 16))
    counts: tuple[int, ...] = tuple(range(9))
    positions: tuple[str, ...] = ("before",)
    formats: tuple[str, ...] = (DEFAULT_FORMAT,)

    def cells(self) -> list[tuple[int, int]]:
        """Return all ``(length, count)``.

        Raises:
            UserError: there are none, or a length that is not 1 to 100.
        """
        if bad := [length for length in self.lengths if not SHORTEST <= length <= LONGEST]:
            raise UserError(f"list length {bad[0]}: lengths are {SHORTEST} to {LONGEST}")
        found = [(n, k) for n in sorted(set(self.lengths)) for k in sorted(set(self.counts)) if 0 <= k <= n]
        if not found:
            raise UserError(
                f"no count of {list(self.counts)} fits a list of {list(self.lengths)} words: counts are 0 to the length"
            )
        return found


@dataclass(frozen=True)
class Slot:
    """One item to be filled; `category` is an index."""

    length: int
    count: int
    category: int
    position: str
    format: str


def dealt(rng: random.Random, values: Sequence[T], n: int) -> list[T]:
    """Return `n` values dealt from one shuffled deck after another: in all, each within one of any other."""
    out: list[T] = []
    while len(out) < n:
        out += rng.sample(values, len(values))
    return out[:n]


Cell = tuple[int, int]
"""Length and count."""


def cells(rng: random.Random, n: int, design: Design) -> list[Cell]:
    """Return `n` cells in order of count: any two kinds of cell come equally often, to within one."""
    every = design.cells()
    whole, rest = divmod(n, len(every))
    return sorted(every * whole + rng.sample(every, rest), key=lambda cell: (cell[1], cell[0]))


def share(chosen: Sequence[Cell], part: float) -> tuple[list[Cell], list[Cell]]:
    """Split cells in two, the second of about `part` of them, spread evenly along the order."""
    steps = [int((k + 1) * part + 1e-9) > int(k * part + 1e-9) for k in range(len(chosen))]
    pairs = list(zip(chosen, steps, strict=True))
    return [cell for cell, second in pairs if not second], [cell for cell, second in pairs if second]


def slots(rng: random.Random, chosen: Sequence[Cell], design: Design, categories: int) -> list[Slot]:
    """Return a slot a cell, in random order; the cells come in order of count.

    Any two categories differ by at most one item; of one count, by at most two. Categories are dealt along the cells,
    so the items of a count get whole decks and the parts of two.
    """
    drawn = zip(
        chosen,
        dealt(rng, range(categories), len(chosen)),
        dealt(rng, [(p, f) for p in design.positions for f in design.formats], len(chosen)),
        strict=True,
    )
    made = [Slot(length, count, category, *style) for (length, count), category, style in drawn]
    rng.shuffle(made)
    return made
