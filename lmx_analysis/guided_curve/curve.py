"""From finished runs to the curve: points, the lines they form, and each against random consultation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmx_analysis.guided.runs import choose_metric, choose_tasks, find_guided_runs
from lmx_analysis.guided_curve import intervals, lines
from lmx_analysis.guided_curve.design import Design
from lmx_analysis.guided_curve.groups import SHARED, Data, Group, Track, read_groups
from lmx_analysis.guided_curve.intervals import Estimate
from lmx_analysis.guided_curve.measure import CONTROL, Measurement, control_of, halves, heights, is_control, measure
from lmx_analysis.guided_curve.model import Chosen, Curve, Line, Options, Point
from lmx_analysis.guided_curve.notes import caveats, of_control, of_ends
from lmx_analysis.guided_curve.settings import random_setting
from lmx_analysis.stats.clusters import numbered
from lmx_analysis.stats.linear import Linear
from lmx_files.errors import UserError, unknown


def guided_curve(
    paths: Sequence[str | Path], options: Options, traces: Path | None = None, track: Track = iter
) -> Curve:
    """Read the guided runs at `paths` and estimate their curve; `track` may show progress over (run, task).

    Raises:
        UserError: there are no guided runs, or they cannot be put on one curve (it says why).
    """
    runs, notes = find_guided_runs(paths, traces)
    tasks = choose_tasks(runs, options.task)
    runs = [run for run in runs if any(task in run.sample_files for task in tasks)]
    first = next(task for task in tasks if task in runs[0].sample_files)
    metric = choose_metric(runs[0], first, options.metric)
    data = read_groups(runs, tasks, metric, options.filter, options.cluster, track)
    design = _design(data, options)
    curve = Curve(tasks, metric, options, runs, len(data.clusters), design.count, data.higher)
    curve.notes += [*notes, *data.notes]
    labels = _labels(data.groups, options.by)
    measured = _measured(data, labels, design, options)
    _points(curve, data.groups, labels, measured)
    _against_ends(curve, measured)
    _against_control(curve, measured)
    if options.split:
        curve.chosen = _choose(curve, data, labels)
    of_ends(curve, measured)
    of_control(curve, measured)
    caveats(curve, design)
    return curve


def _design(data: Data, options: Options) -> Design:
    seeds: tuple[int, ...] = ()
    if options.seeds == "crossed":
        seeds = tuple(sorted({seed for group in data.groups for seed in group.seeds}))
    return Design(data.clusters, len(data.groups), data.rate, seeds)


def _measured(data: Data, labels: Sequence[tuple[str, str]], design: Design, options: Options) -> Measurement:
    cells = [group.cells for group in data.groups]
    return measure(cells, [line for line, _ in labels], [g.role for g in data.groups], design, options.axis)


def _labels(groups: Sequence[Group], by: Sequence[str]) -> list[tuple[str, str]]:
    """Return line and label of each group: a label names c, k and what else differs within the group's policy."""
    inner = [group for group in groups if group.role == "point"]
    names = {name for group in inner for name in group.settings if name not in SHARED}
    for name in by:
        if name not in names and inner:
            raise unknown("setting in --by", name, names - {"policy"})
    labels = []
    for group in groups:
        same = [other for other in inner if other.policy == group.policy]
        varying = [n for n in sorted(names) if len({str(other.settings.get(n)) for other in same}) > 1]
        shown = ["c", "k", *(n for n in varying if n not in ("c", "k"))] if group.role == "point" else []
        line = ", ".join([group.policy, *(f"{n}={_plain(group.settings[n])}" for n in by if group.role == "point")])
        labels.append((line, " ".join(f"{n}={_plain(group.settings.get(n))}" for n in shown)))
    return labels


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _points(curve: Curve, groups: Sequence[Group], labels: Sequence[tuple[str, str]], measured: Measurement) -> None:
    """Add the points, each line's in the order of its places on the axis."""
    design = measured.design
    found: dict[str, list[tuple[float, Point]]] = {}
    for group, (line, label), each in zip(groups, labels, measured.groups, strict=True):
        share = intervals.of_share(each.share, design)
        accuracy = intervals.of_accuracy(each.knot.y, each.cells, design)
        point = Point(line, label, group, share, accuracy, intervals.of(each.tokens, design))
        if group.role == "point":
            found.setdefault(line, []).append((each.knot.x.value, point))
        else:
            curve.ends[group.role] = point
    for name, points in sorted(found.items(), key=lambda item: (is_control(item[0]), item[0])):
        curve.lines.append(Line(name, [point for _, point in sorted(points, key=lambda pair: pair[0])]))


def _against_ends(curve: Curve, measured: Measurement) -> None:
    """Add recovered gaps and areas, each with Fieller's set, where both ends are there and differ in any answer."""
    if len(measured.ends) < 2:
        return
    base, oracle = measured.ends["base"].knot, measured.ends["oracle"].knot
    gap = oracle.y - base.y
    if gap.value == 0 and gap.se == 0:
        return
    between = {}
    for line in curve.lines:
        knots = [each.knot for each in measured.line(line.name)]
        for point, knot in zip(line.points, knots, strict=True):
            point.gap = intervals.ratio(knot.y - base.y, gap, measured.design)
        whole = lines.ordered([base, *knots, oracle])
        if whole[0] is base and whole[-1] is oracle:
            under = lines.area(whole) - base.y * (oracle.x - base.x)
            line.area = intervals.ratio(under, gap, measured.design)
        control = [each.knot for each in measured.line(control_of(line.name))]
        if is_control(line.name) or not control:
            continue
        line.common = lines.common(lines.measured(knots), lines.measured(control))
        if line.common:
            between[line.name] = lines.area_between(knots, control, line.common)
    critical = intervals.simultaneous(
        list(between.values()), measured.design, curve.options.resamples, curve.options.seed
    )
    for line in curve.lines:
        if line.name in between:
            line.area_over_control = intervals.ratio(between[line.name], gap, measured.design, critical)


def _leads(measured: Measurement, name: str) -> list[tuple[lines.Height, Linear] | None]:
    """Return the control's height and the lead over it for each point of a line; None outside of the control."""
    return [
        None if found is None else (found, each.knot.y - found.y)
        for each, found in zip(measured.line(name), heights(measured, name), strict=True)
    ]


def _against_control(curve: Curve, measured: Measurement) -> None:
    """Compare each point with random consultation at the same place of the axis."""
    design, options = measured.design, curve.options
    tested: list[tuple[Point, Linear]] = []
    controls = [(p.group.settings, p.share.value) for line in curve.lines if is_control(line.name) for p in line.points]
    for line in curve.lines:
        if is_control(line.name):
            continue
        for point, found in zip(line.points, _leads(measured, line.name), strict=True):
            point.setting = random_setting(point.share.value, point.group.settings, controls)
            if found is None:
                continue
            height, lead = found
            point.between = (height.between[0] * measured.unit, height.between[1] * measured.unit)
            if height.near:
                point.control = intervals.of(height.y, design)
                point.difference = intervals.of(lead, design)
                tested.append((point, lead))
            else:
                point.control, point.difference = Estimate(height.y.value), Estimate(lead.value)
    critical = intervals.simultaneous([lead for _, lead in tested], design, options.resamples, options.seed)
    curve.simultaneous = sum(lead.se > 0 for _, lead in tested)
    for point, lead in tested:
        point.together = intervals.of(lead, design, critical)


def _choose(curve: Curve, data: Data, labels: Sequence[tuple[str, str]]) -> Chosen:
    """Choose the setting with the greatest lead on one half of the documents, and estimate it on the other half."""
    sides = []
    for mask in halves(data.clusters, curve.options.seed):
        if not mask.any():
            raise UserError("--split needs two documents (or clusters of them) at least")
        part = replace(
            data,
            groups=[replace(group, cells=group.cells.of(mask)) for group in data.groups],
            clusters=numbered(data.clusters[mask].tolist()),
        )
        sides.append(_measured(part, labels, _design(part, curve.options), curve.options))
    sign = -1.0 if curve.higher is False else 1.0
    best: tuple[float, int, Linear, str] | None = None
    count = 0
    first, second = sides
    for line in (each for each in curve.lines if not is_control(each.name)):
        for found, group in zip(_leads(first, line.name), first.line(line.name), strict=True):
            if found is None or not found[0].near:
                continue
            count += 1
            if best is None or sign * found[1].value > best[0]:
                best = (sign * found[1].value, group.number, found[1], line.name)
    if best is None:
        raise UserError(
            f"--split has nothing to choose from: no point has {CONTROL} runs within {lines.REACH:g} around it"
        )
    _, number, lead, name = best
    again = _leads(second, name)[[group.number for group in second.line(name)].index(number)]
    reported = Estimate(math.nan)
    if again is not None:
        near = again[0].near
        reported = intervals.of(again[1], second.design) if near else Estimate(again[1].value)
    sizes = (first.design.clusters.size, second.design.clusters.size)
    return Chosen(name, labels[number][1], count, sizes, Estimate(lead.value), reported)
