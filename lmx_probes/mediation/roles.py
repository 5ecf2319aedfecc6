"""Where the words of a list, and what stands between and behind them, are among a prompt's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]
ROLES = (
    "swapped_item", "swapped_separator", "later_item", "later_separator", "last_separator", "last_item", "list_end",
    "after", "cue", "all", "before",
)  # fmt: skip
"""``list_end``: what follows the last word. ``after``: between it and the ``cue``, the last token, which the answer
follows. ``all``: every position from the swapped item on. ``before``: one before it, a control."""


@dataclass(frozen=True)
class Place:
    """Positions that are patched together, one word's tokens for instance.

    Attributes:
        role: one of `ROLES`. column: its place in a map, e.g. ``item+2``, counted in words from the swapped one.
    """

    role: str
    column: str
    positions: tuple[int, ...]


def places_of(spans: Sequence[Span], offsets: Sequence[Span], index: int) -> list[Place]:
    """Return the places of a prompt from the swapped word on, in order of their tokens.

    Args:
        spans: characters of each word. offsets: characters of each token, empty for special tokens that have none.
        index: the swapped word.

    A place that has no token of its own is left out.
    """
    items = [tokens_of(offsets, span) for span in spans]
    last = len(spans) - 1
    count = len(offsets)
    found: list[Place] = []
    for k in range(index, last + 1):
        role = "swapped_item" if k == index else "last_item" if k == last else "later_item"
        found.append(Place(role, "last item" if role == "last_item" else f"item+{k - index}", items[k]))
        if k < last:
            between = tuple(range(items[k][-1] + 1, items[k + 1][0])) if items[k] and items[k + 1] else ()
            role = "swapped_separator" if k == index else "last_separator" if k == last - 1 else "later_separator"
            column = "last sep" if role == "last_separator" else f"sep+{k - index}"
            found.append(Place(role, column, between))
    behind = range(items[last][-1] + 1, count) if items[last] else range(0)
    for number, position in enumerate(behind):
        if position == count - 1:
            found.append(Place("cue", "cue", (position,)))
        else:
            found.append(
                Place("after" if number else "list_end", f"after+{number}" if number else "list end", (position,))
            )
    return [place for place in found if place.positions]


def all_of(places: Sequence[Place], count: int) -> Place:
    """Return the place of all positions from the swapped item on, of a prompt of `count` tokens."""
    return Place("all", "all", tuple(range(places[0].positions[0], count)))


def tokens_of(offsets: Sequence[Span], span: Span) -> tuple[int, ...]:
    """Return the tokens of a word; a token that also covers the space before it counts."""
    return tuple(i for i, (begin, end) in enumerate(offsets) if begin < span[1] and end > span[0])
