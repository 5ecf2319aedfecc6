"""What a reader of the curve must know beside its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lmx_analysis.guided_curve import intervals, lines
from lmx_analysis.guided_curve.design import Design
from lmx_analysis.guided_curve.measure import CONTROL, Measurement, control_of, is_control
from lmx_analysis.guided_curve.model import Curve, Line, Point
from lmx_analysis.tables import number

FEW_CLUSTERS = 20


def of_ends(curve: Curve, measured: Measurement) -> None:
    """Say what recovered gaps and areas rest on, or why there are none."""
    ways = (("base", "c=0"), ("oracle", "c=inf,k=inf"))
    missing = [f"{name} only ({how})" for name, how in ways if name not in measured.ends]
    if missing:
        curve.notes.append(f"no run of {' and of '.join(missing)}: no recovered gap, no area")
        return
    base, oracle = measured.ends["base"].knot.y, measured.ends["oracle"].knot.y
    gap = oracle - base
    if gap.value == 0 and gap.se == 0:
        curve.notes.append(
            f"base and oracle have the same accuracy ({base.value:.4f}): the recovered gap is not defined"
        )
        return
    alike = [name for name, end in measured.ends.items() if measured.design.rate and end.knot.y.value in (0.0, 1.0)]
    if alike:
        curve.notes.append(
            f"{' and '.join(alike)}: all answers are right or all wrong; gaps and areas take each for as uncertain as "
            "two right and two wrong answers more would make it"
        )
    found = intervals.of(gap, measured.design)
    sets = [p.gap for p in curve.points if p.gap] + [
        x for ln in curve.lines for x in (ln.area, ln.area_over_control) if x
    ]
    if any(not each.interval.bounded and each.interval.known for each in sets):
        curve.notes.append(
            f"oracle less base is {gap.value:+.4f}, 95 % interval {number(found.low, True)} to "
            f"{number(found.high, True)}: it may be nearly 0, so sets of some gaps or areas have no bounds (outside a "
            "range, or any value); each still holds the truth in 95 % of studies"
        )
    worse = gap.value > 0 if curve.higher is False else gap.value < 0
    if worse and gap.value != 0:
        curve.notes.append("the oracle is worse than the base: a recovered gap of 1 means as bad as the oracle")


def of_control(curve: Curve, measured: Measurement) -> None:
    """Say what the comparisons with random consultation rest on, and which runs would make a better control."""
    share = curve.options.axis == "share"
    for line in (each for each in curve.lines if not is_control(each.name)):
        if not measured.line(control_of(line.name)):
            control = control_of(line.name) if curve.options.by else CONTROL
            ask = _asking(line.points)
            runs = f". Runs of policy=random, c=inf with about these shares: {ask}" if ask else ""
            curve.notes.append(f"{line.name}: no runs of {control} to compare with at the same share{runs}")
            continue
        far = [point for point in line.points if point.control is None or math.isnan(point.control.low)]
        far = [point for point in far if point.difference is None or not point.difference.interval.known]
        if far:
            ask = _asking(far)
            runs = f". Runs that would hit their shares: policy=random c=inf, {ask}" if ask else ""
            where = f"{lines.REACH:g} of {'share' if share else 'the tokens of the oracle alone'}"
            curve.notes.append(
                f"{line.name}, {', '.join(p.label for p in far)}: no {CONTROL} run within {where} on both sides (or "
                f"all answers alike), so no interval and no verdict{runs}"
            )
        if not line.common and line.area:
            curve.notes.append(
                f"{line.name}: no range in which it and {control_of(line.name)} both have runs at most "
                f"{2 * lines.REACH:g} apart, so their areas are not compared"
            )
        beyond = [point.label for point in line.points if point.control and not _within(point, measured, line)]
        if beyond:
            curve.notes.append(
                f"beyond the {curve.options.axis}s of the {CONTROL} runs, so compared with a line to an end: "
                f"{line.name} {', '.join(beyond)}"
            )
    if any(point.control for point in curve.points):
        curve.notes.append(
            f"{CONTROL} at the same {curve.options.axis} is read off the line through the {CONTROL} runs and the two "
            "ends, between the neighbours"
        )
    if curve.simultaneous > 1:
        what = "least" if curve.higher is False else "greatest"
        curve.notes.append(
            f"{curve.simultaneous} differences: their intervals 'together' hold at once in 95 % of studies; the "
            f"{what} is the best of {curve.simultaneous}, so it looks better than it is (--split reports it on "
            "documents that it was not chosen on)"
        )


def _within(point: Point, measured: Measurement, line: Line) -> bool:
    """Whether a point lies between random runs, not between one and an end."""
    places = [each.knot.x.value for each in measured.line(control_of(line.name))]
    own = measured.line(line.name)[line.points.index(point)].knot.x.value
    return min(places) <= own <= max(places)


def _asking(points: Sequence[Point]) -> str:
    return "; ".join(dict.fromkeys(point.setting for point in points if point.setting))


def caveats(curve: Curve, design: Design) -> None:
    """Say what limits the intervals."""
    what = "documents" if curve.options.cluster is None else f"groups by {curve.options.cluster}"
    if curve.clusters < FEW_CLUSTERS:
        curve.notes.append(f"only {curve.clusters} {what}: with fewer than {FEW_CLUSTERS} the intervals are rough")
    elif design.effective < FEW_CLUSTERS:
        curve.notes.append(
            f"the {curve.clusters} {what} are so unequal that they say as much as {design.effective:.1f} equal ones: "
            f"with fewer than {FEW_CLUSTERS} the intervals are rough"
        )
    if curve.options.seeds == "crossed":
        single = [f"{p.line} {p.label}".strip() for p in curve.points if len(p.group.seeds) == 1]
        if single:
            curve.notes.append(f"one seed only, so its interval knows nothing of other seeds: {', '.join(single)}")
    if curve.options.axis == "tokens" and any(_beyond(line, curve) for line in curve.lines):
        curve.notes.append("some points spend more oracle tokens than the oracle alone does: their lines have no area")


def _beyond(line: Line, curve: Curve) -> bool:
    whole = curve.ends.get("oracle")
    return whole is not None and any(point.tokens.value > whole.tokens.value for point in line.points)
