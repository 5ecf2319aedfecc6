"""A curve as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmx_analysis.figures import COLOURS, new_figure, rendered
from lmx_analysis.guided_curve.intervals import Estimate
from lmx_analysis.guided_curve.measure import is_control
from lmx_analysis.guided_curve.model import Curve, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def figure(curve: Curve) -> dict[str, bytes]:
    """Return the picture, ``guided_curve.png`` and ``.svg``: accuracy against share, a line for each policy."""
    drawing = new_figure(7, 4.5)
    axes = drawing.add_subplot()
    tokens = curve.options.axis == "tokens"
    colours = iter(COLOURS * len(curve.lines))
    for line in curve.lines:
        random = is_control(line.name)
        colour = "#7f7f7f" if random else next(colours)
        ends = [curve.ends.get("base"), *line.points, curve.ends.get("oracle")]
        through = [point for point in ends if point is not None]
        xs, ys = [(p.tokens if tokens else p.share).value for p in through], [p.accuracy.value for p in through]
        axes.plot(xs, ys, color=colour, linewidth=1, linestyle="--" if random else "-", alpha=0.7)
        _crosses(axes, line.points, colour, "s" if random else "o", line.name, tokens)
    for name, marker in (("base", "v"), ("oracle", "^")):
        if name in curve.ends:
            model = curve.ends[name].group.settings[name]
            _crosses(axes, [curve.ends[name]], "black", marker, f"{name} only ({model})", tokens)
    axes.set_xlabel("oracle tokens for each problem" if tokens else "share of tokens written by the oracle")
    axes.set_ylabel(curve.metric)
    axes.set_title(f"{', '.join(curve.tasks)}, n = {curve.documents}, 95 % intervals", fontsize=10)
    if not tokens:
        axes.set_xlim(-0.03, 1.03)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return rendered(drawing, "guided_curve")


def _crosses(axes: Axes, points: Sequence[Point], colour: str, marker: str, label: str, tokens: bool) -> None:
    def bars(estimates: Sequence[Estimate]) -> list[list[float]]:
        # NaN draws no whisker: one of length 0 would look like certainty
        below = [max(0.0, e.value - e.low) if e.interval.bounded else math.nan for e in estimates]
        above = [max(0.0, e.high - e.value) if e.interval.bounded else math.nan for e in estimates]
        return [below, above]

    shares = [point.tokens if tokens else point.share for point in points]
    accuracies = [point.accuracy for point in points]
    axes.errorbar(
        [e.value for e in shares], [e.value for e in accuracies], bars(accuracies), bars(shares),
        fmt=marker, color=colour, markersize=5, elinewidth=0.8, capsize=2, label=label,
    )  # fmt: skip
