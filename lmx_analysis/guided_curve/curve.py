"""From finished runs to the curve: points, the lines they form, and each against random consultation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lmx_analysis.guided_curve import estimates
from lmx_analysis.guided_curve.estimates import Draws, Estimate
from lmx_analysis.guided_curve.groups import SHARED, Group, Track, read_groups
from lmx_analysis.guided_runs import choose_metric, choose_tasks, find_guided_runs
from lmx_files.runs import Run
from lmx_plugins.errors import unknown

CONTROL = "random"
FEW_CLUSTERS = 20


@dataclass(frozen=True)
class Options:
    """What to draw.

    Attributes:
        task: a task or group; None if there is only one. metric: None for the task's first main metric.
        by: settings that make separate lines, beside the policy.
        filter: of lm_eval's filters. cluster: field of a document that names groups that are not independent.
        resamples, seed: of the bootstrap. traces: see `find_guided_runs`.
    """

    task: str | None = None
    metric: str | None = None
    by: tuple[str, ...] = ()
    filter: str | None = None
    cluster: str | None = None
    resamples: int = 10_000
    seed: int = 1234


@dataclass
class Point:
    """One group of runs on the curve.

    Attributes:
        line: the line that it belongs to. label: the settings that tell it from others of its policy.
        gap: recovered gap; None where an end is missing or both ends agree.
        control: accuracy of random consultation at the same share, interpolated between shares `between`.
        difference: accuracy less that, paired. Both None without a control.
    """

    line: str
    label: str
    group: Group
    share: Estimate
    accuracy: Estimate
    gap: Estimate | None = None
    control: Estimate | None = None
    difference: Estimate | None = None
    between: tuple[float, float] | None = None


@dataclass
class Line:
    """The points of one policy in the order of their shares; areas are None where an end or the control is missing."""

    name: str
    points: list[Point]
    area: Estimate | None = None
    area_over_control: Estimate | None = None


@dataclass
class Curve:
    """Everything that is drawn and written."""

    tasks: list[str]
    metric: str
    options: Options
    runs: list[Run]
    documents: int
    clusters: int
    ends: dict[str, Point] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def points(self) -> list[Point]:
        """All points: the base, those of each line, the oracle."""
        inner = [point for line in self.lines for point in line.points]
        return [*(self.ends[n] for n in ("base",) if n in self.ends), *inner] + [
            self.ends[n] for n in ("oracle",) if n in self.ends
        ]


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
    clusters = int(data.clusters.max()) + 1
    curve = Curve(tasks, metric, options, runs, len(data.clusters), clusters, notes=[*notes, *data.notes])
    draws = estimates.resample([g.cells for g in data.groups], data.clusters, options.resamples, options.seed)
    labels = _labels(data.groups, options.by)
    lines: dict[str, list[tuple[Point, Draws]]] = {}
    ends: dict[str, Draws] = {}
    for group, drawn, (line, label) in zip(data.groups, draws, labels, strict=True):
        share = estimates.estimate(drawn.share, clusters)
        accuracy = estimates.estimate_accuracy(drawn.accuracy, clusters)
        point = Point(line, label, group, share, accuracy)
        if group.role == "point":
            lines.setdefault(line, []).append((point, drawn))
        else:
            curve.ends[group.role], ends[group.role] = point, drawn
    for name, found in sorted(lines.items(), key=lambda item: (item[0].startswith(CONTROL), item[0])):
        found.sort(key=lambda pair: pair[0].share.value)
        curve.lines.append(Line(name, [point for point, _ in found]))
    _against_ends(curve, lines, ends)
    _against_control(curve, lines, ends)
    _caveats(curve)
    return curve


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


def _against_ends(curve: Curve, lines: dict[str, list[tuple[Point, Draws]]], ends: dict[str, Draws]) -> None:
    """Add recovered gaps and areas, where both ends are there and differ."""
    missing = [f"{name} only ({how})" for name, how in (("base", "c=0"), ("oracle", "c=inf,k=inf")) if name not in ends]
    if missing:
        curve.notes.append(f"no run of {' and of '.join(missing)}: no recovered gap, no area")
        return
    base, oracle = ends["base"].accuracy, ends["oracle"].accuracy
    if base[0] == oracle[0]:
        curve.notes.append(f"base and oracle have the same accuracy ({base[0]:.4f}): the recovered gap is not defined")
        return
    gap = estimates.estimate(oracle - base, curve.clusters)
    alike = [name for name, drawn in ends.items() if not np.ptp(drawn.accuracy) > 1e-12]
    bounded = len(alike) == 2 or gap.low > 0 or gap.high < 0
    if alike:
        curve.notes.append(
            f"{' and '.join(alike)}: all answers are right or all wrong, so intervals of gaps and areas leave out how "
            "sure that is; such an end's own interval is Wilson's"
        )
    if not bounded:
        curve.notes.append(
            f"oracle less base is {gap.value:+.4f}, 95 % interval {gap.low:+.4f} to {gap.high:+.4f}: it may be 0, so "
            "recovered gaps and areas have no bounded interval and none is given"
        )
    elif gap.value < 0:
        curve.notes.append("the oracle is worse than the base: a recovered gap of 1 means as bad as the oracle")

    def known(values: estimates.Floats) -> Estimate:
        found = estimates.estimate(values, curve.clusters)
        return found if bounded else replace(found, low=math.nan, high=math.nan)

    for point, drawn in (pair for found in lines.values() for pair in found):
        point.gap = known(estimates.recovered_gap(drawn.accuracy, base, oracle))
    for line in curve.lines:
        areas = estimates.area([drawn for _, drawn in lines[line.name]], ends["base"], ends["oracle"])
        line.area = known(areas)
        control = lines.get(_control_of(line.name))
        if control and not line.name.startswith(CONTROL):
            other = estimates.area([drawn for _, drawn in control], ends["base"], ends["oracle"])
            line.area_over_control = known(areas - other)


def _against_control(curve: Curve, lines: dict[str, list[tuple[Point, Draws]]], ends: dict[str, Draws]) -> None:
    """Compare each point with random consultation at the same share of oracle tokens."""
    outside = []
    for line in curve.lines:
        control = lines.get(_control_of(line.name))
        if line.name.startswith(CONTROL):
            continue
        if not control:
            curve.notes.append(_suggestion(line, len(curve.options.by) > 0))
            continue
        reference = [*ends.values(), *(drawn for _, drawn in control)]
        shares = np.array([drawn.share[0] for drawn in reference])
        measured = [drawn.share[0] for _, drawn in control]
        for point, drawn in lines[line.name]:
            below, above = shares[shares <= drawn.share[0]], shares[shares >= drawn.share[0]]
            if not below.size or not above.size:
                continue
            values = estimates.interpolated(drawn.share, reference)
            point.control = estimates.estimate(values, curve.clusters)
            point.difference = estimates.estimate(drawn.accuracy - values, curve.clusters)
            point.between = (float(below.max()), float(above.min()))
            if not min(measured) <= drawn.share[0] <= max(measured):
                outside.append(f"{line.name} {point.label}")
    if any(point.control for point in curve.points):
        curve.notes.append(
            f"{CONTROL} at the same share is read off the line through the {CONTROL} runs and the two ends, linearly "
            "between the neighbouring shares"
        )
    if outside:
        curve.notes.append(
            f"beyond the shares of the {CONTROL} runs, so compared with a line to an end: {', '.join(outside)}"
        )


def _control_of(line: str) -> str:
    """Return the name of the random line with the same settings `by` as a line."""
    return ", ".join([CONTROL, *line.split(", ")[1:]])


def _suggestion(line: Line, separate: bool) -> str:
    """Say which runs would make a control: a rate r per base token gives the share r k / (r k + 1)."""
    wanted: dict[str, list[str]] = {}
    for point in line.points:
        k, share = point.group.settings["k"], point.share.value
        if k != math.inf and 0 < share < 1 and (rate := share / (k * (1 - share))) <= 1:
            wanted.setdefault(_plain(k), []).append(f"{rate:.3g}")
    runs = "; ".join(f"k={k} prob={','.join(dict.fromkeys(rates))}" for k, rates in wanted.items())
    control = _control_of(line.name) if separate else CONTROL
    ask = f". Runs of policy=random, c=inf with about these shares: {runs}" if runs else ""
    return f"{line.name}: no runs of {control} to compare with at the same share{ask}"


def _caveats(curve: Curve) -> None:
    if curve.clusters < FEW_CLUSTERS:
        what = "documents" if curve.options.cluster is None else f"groups by {curve.options.cluster}"
        curve.notes.append(f"only {curve.clusters} {what}: with fewer than {FEW_CLUSTERS} the intervals are rough")
    single = [f"{point.line} {point.label}".strip() for point in curve.points if len(point.group.seeds) == 1]
    if single:
        curve.notes.append(f"one seed only, so its interval knows nothing of other seeds: {', '.join(single)}")
