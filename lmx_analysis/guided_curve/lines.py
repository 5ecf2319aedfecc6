"""Lines through measured points: their height at a share, and the area between two of them where both were measured.

Accuracy is seldom straight in the share, and a chord under a bent line makes a difference out of nothing where two
lines have their points at different places. So between two points more than `STRAIGHT` apart a line is a parabola: the
chord, with the mean of the curvatures that its two ends have, each from the point and its two neighbours. It runs
through all points, is straight where they are, and is linear in the accuracies. Nearer points are joined by the chord:
the curvature would cost more certainty than it saves error.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lmx_analysis.stats.linear import Linear

REACH = 0.1
"""How far from a measured share a line still says something, in shares."""
STRAIGHT = 0.15
"""The longest stretch over which a line is its chord."""
MERGED = 0.02
"""Points nearer than this count as one: a line through both would be all slope."""
WIDEST = 0.3
"""The longest stretch between two points of a line of three or more that counts as measured; of two points `REACH`,
for they show no curvature."""
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
        y: between the neighbouring knots. between: their places. near: whether they are near enough; see `height`.
    """

    y: Linear
    between: Range
    near: bool


@dataclass(frozen=True)
class _Panel:
    """The line between two neighbouring knots; `bend` is its second derivative, None where nothing tells it."""

    left: Knot
    right: Knot
    bend: Linear | None

    def at(self, place: Linear) -> Linear:
        slope = (self.right.y - self.left.y) / (self.right.x - self.left.x)
        y = self.left.y + slope * (place - self.left.x)
        if self.bend is None:
            return y
        return y + self.bend * ((place - self.left.x) * (place - self.right.x)) * 0.5

    def integral(self, low: float, high: float) -> Linear:
        """Return the area under it between two fixed places, by Simpson's rule, which is exact for parabolas."""
        places = [_fixed(place, self.left.x) for place in (low, (low + high) / 2, high)]
        first, middle, last = (self.at(place) for place in places)
        return (first + middle * 4.0 + last) * ((high - low) / 6)


def ordered(knots: Sequence[Knot]) -> list[Knot]:
    """Return knots by their places."""
    return sorted(knots, key=lambda knot: knot.x.value)


def height(at: Linear, knots: Sequence[Knot]) -> Height | None:
    """Return the height of the line through `knots` at a place, or None outside of them.

    What a line can miss between two neighbours grows with the product of the distances to both. So they are near enough
    where that product is at most `REACH` squared: both within 0.1, or one the nearer, the farther away the other is.
    """
    line = _merged(ordered(knots))
    places = [knot.x.value for knot in line]
    slack = MERGED if len(line) < len(knots) else 0.0
    if not line or at.value < places[0] - slack or at.value > places[-1] + slack:
        return None
    if len(line) == 1:
        return Height(line[0].y, (places[0], places[0]), True)
    below = max((place for place in places if place <= at.value), default=places[0])
    above = min((place for place in places if place >= at.value), default=places[-1])
    near = (at.value - below) * (above - at.value) <= REACH**2 + 1e-9
    panel = next((p for p in reversed(_panels(line)) if p.left.x.value <= at.value), _panels(line)[0])
    return Height(panel.at(at), (below, above), near)


def _panels(line: Sequence[Knot]) -> list[_Panel]:
    bends: list[list[Linear]] = [[] for _ in line]
    for middle, (left, here, right) in enumerate(zip(line, line[1:], line[2:], strict=False), 1):
        before = (here.y - left.y) / (here.x - left.x)
        after = (right.y - here.y) / (right.x - here.x)
        bends[middle].append((after - before) / ((right.x - left.x) * 0.5))
    found = []
    for (left, right), (one, other) in zip(itertools.pairwise(line), itertools.pairwise(bends), strict=True):
        known = [*one, *other] if right.x.value - left.x.value > STRAIGHT else []
        found.append(_Panel(left, right, _mean(known) if known else None))
    return found


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


def _fixed(place: float, like: Linear) -> Linear:
    return Linear(place, like.influence * 0.0)


def area(knots: Sequence[Knot]) -> Linear:
    """Return the area under the straight lines through at least two knots, from the first to the last (trapezoids)."""
    line = ordered(knots)
    return _sum([(right.x - left.x) * (left.y + right.y) * 0.5 for left, right in itertools.pairwise(line)])


def measured(knots: Sequence[Knot]) -> list[Range]:
    """Return where a line was measured: between neighbours that are not too far apart, joined where they touch."""
    places = [knot.x.value for knot in _merged(ordered(knots))]
    widest = WIDEST if len(places) > 2 else REACH
    found: list[Range] = []
    for left, right in itertools.pairwise(places):
        if right - left > widest + 1e-9:
            continue
        if found and found[-1][1] == left:
            found[-1] = (found[-1][0], right)
        else:
            found.append((left, right))
    return found


def common(one: Sequence[Range], other: Sequence[Range]) -> list[Range]:
    """Return where both were measured."""
    pairs = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return sorted(pair for pair in pairs if pair[1] > pair[0])


def area_between(one: Sequence[Knot], other: Sequence[Knot], ranges: Sequence[Range]) -> Linear:
    """Return the area under one line less that under another over fixed ranges within both lines."""
    parts = []
    for low, high in ranges:
        for knots, sign in ((one, 1.0), (other, -1.0)):
            for panel in _panels(_merged(ordered(knots))):
                start, end = max(low, panel.left.x.value), min(high, panel.right.x.value)
                if end > start:
                    parts.append(panel.integral(start, end) * sign)
    return _sum(parts)
