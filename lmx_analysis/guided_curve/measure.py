"""Groups of runs as measured points of lines, and each point's lead over the control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.guided_curve import design as estimates
from lmx_analysis.guided_curve.design import Cells, Design
from lmx_analysis.guided_curve.lines import Height, Knot, height
from lmx_analysis.stats.linear import Linear

CONTROL = "random"


@dataclass(frozen=True)
class Measured:
    """One group of runs, by its `number`: its line, what it cost and what it reached; `knot` is its place."""

    number: int
    line: str
    role: str
    cells: Cells
    share: Linear
    tokens: Linear
    knot: Knot


@dataclass
class Measurement:
    """All groups over the same documents.

    Attributes:
        unit: one unit of the axis: 1, or the tokens of the oracle alone for each problem.
    """

    design: Design
    groups: list[Measured]
    unit: float = 1.0
    ends: dict[str, Measured] = field(default_factory=dict)

    def line(self, name: str) -> list[Measured]:
        """Return the points of a line in the order of their places."""
        return sorted((g for g in self.groups if g.line == name and g.role == "point"), key=lambda g: g.knot.x.value)


def measure(
    cells: Sequence[Cells], lines: Sequence[str], roles: Sequence[str], design: Design, axis: str
) -> Measurement:
    """Return the groups as measured points.

    Args:
        cells, lines, roles: of each group; see `Group`. axis: ``share`` or ``tokens``; the latter in units of what the
            oracle alone writes for each problem, or the most that any group does where there is no such run.
    """
    shares = [estimates.share(each, design) for each in cells]
    tokens = [estimates.tokens(each, design) for each in cells]
    accuracies = [estimates.accuracy(each, design, number) for number, each in enumerate(cells)]
    places, unit = shares, 1.0
    if axis == "tokens":
        whole = next((t for t, role in zip(tokens, roles, strict=True) if role == "oracle" and t.value > 0), None)
        most = max(t.value for t in tokens)
        unit = most if whole is None else whole.value
        if most > 0:
            places = [t * (1 / unit) if whole is None else t / whole for t in tokens]
    groups = [
        Measured(number, lines[number], roles[number], each, shares[number], tokens[number], Knot(places[number], y))
        for number, (each, y) in enumerate(zip(cells, accuracies, strict=True))
    ]
    return Measurement(design, groups, unit, {g.role: g for g in groups if g.role != "point"})


def control_of(line: str) -> str:
    """Return the name of the random line with the same settings `by` as a line."""
    return ", ".join([CONTROL, *line.split(", ")[1:]])


def is_control(line: str) -> bool:
    """Whether a line is one of random consultation."""
    return line.split(", ")[0] == CONTROL


def heights(measurement: Measurement, name: str) -> list[Height | None]:
    """Return the control's height at each point of a line: read off the random runs and both ends."""
    control = measurement.line(control_of(name))
    knots = [g.knot for g in (*control, *measurement.ends.values())]
    return [height(g.knot.x, knots) if control else None for g in measurement.line(name)]


def halves(clusters: NDArray[np.intp], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks of shape ``[documents]``: each cluster lies in one half, drawn at random."""
    count = int(clusters.max()) + 1
    first = np.zeros(count, dtype=bool)
    first[np.random.default_rng(seed).permutation(count)[: count // 2]] = True
    mask: NDArray[np.bool_] = first[clusters]
    return mask, ~mask
