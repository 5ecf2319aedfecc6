"""Lines through measured points: their height at a share, and the area between two of them where both were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmx_analysis.guided_curve.linear import Linear

REACH = 0.1
"""How far from a measured share a line still says something, in shares."""
MERGED = 0.02
"""Points nearer than this count as one when a height is read off: a line through both would be all slope."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Knot:
    """A measured point of a line: `x` its place on the axis (the share), `y` its height (the accuracy)."""

    x: Linear
    y: Linear


@dataclass(frozen=True)
class Height:
    """A line's height at a place.

    Attributes:
        y: linearly between the neighbouring knots. between: their places.
        near: whether the neighbours are near enough; see `height`.
    """

    y: Linear
    between: Range
    near: bool


def ordered(knots: Sequence[Knot]) -> list[Knot]:
    """Return knots by their places."""
    return sorted(knots, key=lambda knot: knot.x.value)


def height(at: Linear, knots: Sequence[Knot]) -> Height | None:
    """Return the height of the line through `knots` at a place, or None outside of them.

    A straight line between two neighbours misses a curve by at most half its second derivative times the product of
    the distances to both. So the neighbours are near enough where that product is at most `REACH` squared: both
    within 0.1, or one the nearer, the farther away the other is.
    """
    line = _merged(ordered(knots))
    places = [knot.x.value for knot in line]
    slack = MERGED if len(line) < len(knots) else 0.0
    if not line or at.value < places[0] - slack or at.value > places[-1] + slack:
        return None
    if len(line) == 1:
        return Height(line[0].y, (places[0], places[0]), True)
    left = max((i for i, place in enumerate(places[:-1]) if place <= at.value), default=0)
    low, high = line[left], line[left + 1]
    weight = (at - low.x) / (high.x - low.x)
    y = low.y + weight * (high.y - low.y)
    below = max((place for place in places if place <= at.value), default=places[0])
    above = min((place for place in places if place >= at.value), default=places[-1])
    near = (at.value - below) * (above - at.value) <= REACH**2 + 1e-9
    return Height(y, (below, above), near)


def _merged(line: Sequence[Knot]) -> list[Knot]:
    """Return ordered knots with those that lie at one place put together, at the mean of their places and heights."""
    found: list[list[Knot]] = []
    for knot in line:
        if found and knot.x.value - found[-1][0].x.value < MERGED:
            found[-1].append(knot)
        else:
            found.append([knot])
    return [
        same[0] if len(same) == 1 else Knot(_mean([k.x for k in same]), _mean([k.y for k in same])) for same in found
    ]


def _mean(parts: Sequence[Linear]) -> Linear:
    return _sum(parts) * (1 / len(parts))


def _sum(parts: Sequence[Linear]) -> Linear:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def area(knots: Sequence[Knot]) -> Linear:
    """Return the area under the line through at least two knots, from the first to the last, by trapezoids."""
    line = ordered(knots)
    return _sum([(right.x - left.x) * (left.y + right.y) * 0.5 for left, right in zip(line, line[1:], strict=False)])


def measured(knots: Sequence[Knot]) -> list[Range]:
    """Return where a line was measured: between neighbours at most twice `REACH` apart, joined where they touch."""
    places = [knot.x.value for knot in _merged(ordered(knots))]
    found: list[Range] = []
    for left, right in zip(places, places[1:], strict=False):
        if right - left > 2 * REACH + 1e-9:
            continue
        if found and found[-1][1] == left:
            found[-1] = (found[-1][0], right)
        else:
            found.append((left, right))
    return [part for part in found if part[1] > part[0]]


def common(one: Sequence[Range], other: Sequence[Range]) -> list[Range]:
    """Return where both were measured."""
    pairs = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return sorted(pair for pair in pairs if pair[1] > pair[0])


def area_between(one: Sequence[Knot], other: Sequence[Knot], ranges: Sequence[Range]) -> Linear:
    """Return the area under one line less that under another over fixed ranges within both lines."""
    parts = []
    for part in ranges:
        parts += [area(_cut(one, part)), area(_cut(other, part)) * -1.0]
    return _sum(parts)


def _cut(knots: Sequence[Knot], part: Range) -> list[Knot]:
    """Return a line's knots within a range, with its heights at both ends of it."""
    line = _merged(ordered(knots))
    low, high = part
    inner = [knot for knot in line if low < knot.x.value < high]
    return [_at(low, line), *inner, _at(high, line)]


def _at(place: float, line: Sequence[Knot]) -> Knot:
    fixed = Linear(place, line[0].x.influence * 0.0)
    left = max((i for i, knot in enumerate(line[:-1]) if knot.x.value <= place), default=0)
    low, high = line[left], line[left + 1]
    return Knot(fixed, low.y + (fixed - low.x) / (high.x - low.x) * (high.y - low.y))
