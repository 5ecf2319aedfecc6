"""A curve as tables for the screen, rows for CSV and JSON, and a figure."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lmx_analysis.guided_curve.figure import figure
from lmx_analysis.guided_curve.intervals import Estimate
from lmx_analysis.guided_curve.measure import CONTROL
from lmx_analysis.guided_curve.model import Curve, Point
from lmx_analysis.stats.intervals import LEVEL
from lmx_analysis.tables import csv_text, json_text, number, table
from lmx_files import manifest

NOTHING = Estimate(math.nan)
METHODS = "t over documents; ratios: Fieller; together: max |t| of a multivariate t"


def point_table(curve: Curve) -> Table:
    """Return a row for each group of runs."""
    parsed = any(point.group.parse_rate is not None for point in curve.points)
    gaps = any(point.gap for point in curve.points)
    control = any(point.control for point in curve.points)
    together = control and curve.simultaneous > 1
    columns = [("line", False), ("settings", False), ("seeds", True), ("oracle share", True), ("", False)]
    columns += [("oracle tokens", True), ("accuracy", True), ("95% interval", False)]
    columns += [("parsed", True)] if parsed else []
    columns += [("gap", True), ("", False)] if gaps else []
    at = f"{CONTROL} at this {'share' if curve.options.axis == 'share' else 'cost'}"
    columns += [(at, True), ("difference", True), ("95% interval", False)] if control else []
    columns += [(f"all {curve.simultaneous} together", False)] if together else []
    rows = []
    for point in curve.points:
        row = [point.line, point.label, str(len(point.group.seeds)), *_pair(point.share)]
        row += [f"{point.tokens.value:.1f}", *_pair(point.accuracy)]
        row += [number(point.group.parse_rate)] if parsed else []
        row += _pair(point.gap) if gaps else []
        row += [*_pair(point.control)[:1], *_pair(point.difference, signed=True)] if control else []
        row += _pair(point.together, signed=True)[1:] if together else []
        rows.append(row)
    what = f"{', '.join(curve.tasks)}: {curve.metric} over all {curve.documents} documents"
    return table(what, columns, rows)


def area_table(curve: Curve) -> Table | None:
    """Return the area under each line's recovered gap, or None if there is none."""
    if not any(line.area for line in curve.lines):
        return None
    columns = [("line", False), ("measured", False), ("area", True), ("95% interval", False)]
    columns += [("both measured", False), (f"area there less that of {CONTROL}", True), ("95% interval", False)]
    rows = []
    for line in curve.lines:
        share = curve.options.axis == "share"
        places = [point.share.value if share else point.tokens.value for point in line.points]
        measured = f"{min(places):.3f} to {max(places):.3f}"
        both = ", ".join(f"{low:.3f} to {high:.3f}" for low, high in line.common)
        rows.append([line.name, measured, *_pair(line.area), both, *_pair(line.area_over_control, signed=True)])
    return table(
        "\nArea under the recovered gap, share 0 to 1 (0.5: no better than mixing in proportion)", columns, rows
    )


def files(curve: Curve, plots: bool) -> dict[str, str | bytes]:
    """Return the output files by name."""
    written: dict[str, str | bytes] = {
        "guided_curve.csv": csv_text([_record(point) for point in curve.points]),
        "guided_curve_areas.csv": csv_text(_areas(curve)),
        "guided_curve.json": json_text(document(curve)),
    }
    return written | (figure(curve) if plots else {})


def document(curve: Curve) -> dict[str, Any]:
    """Return everything: settings, versions, the files read and their hashes, notes, points and areas."""
    read = {
        run.file: [run.file, *(run.sample_files[t] for t in curve.tasks if t in run.sample_files), *run.trace_files()]
        for run in curve.runs
    }
    hashes = manifest.hashes(path for paths in read.values() for path in paths)
    settings = {**asdict(curve.options), "confidence": LEVEL, "intervals": METHODS}
    return {
        "tasks": curve.tasks,
        "metric": curve.metric,
        "documents": curve.documents,
        "clusters": curve.clusters,
        **manifest.of_analysis(hashes, settings, {"draws": curve.options.seed}),
        "points": [_record(p) | {"seeds": p.group.seeds, "all": _for_json(p.group.settings)} for p in curve.points],
        "areas": _areas(curve),
        "simultaneous": curve.simultaneous,
        "chosen": None if curve.chosen is None else asdict(curve.chosen),
        "notes": curve.notes,
        "runs": [
            {"results": str(file), "sha256": {path.name: hashes[str(path)] for path in paths}}
            for file, paths in read.items()
        ],
    }


def _pair(estimate: Estimate | None, signed: bool = False) -> list[str]:
    shown = estimate or NOTHING
    return [number(shown.value, signed), interval_text(shown, signed)]


def interval_text(estimate: Estimate, signed: bool = False) -> str:
    """Return an interval in words; empty where there is none."""
    low, high = number(estimate.low, signed), number(estimate.high, signed)
    shown = {
        "bounded": f"[{low}, {high}]",
        "outside": f"to {low} or from {high}",
        "all": "any value",
        "half": f"[{low}, {high}]",
        "none": "",
    }
    return shown[estimate.interval.shape]


def _columns(name: str, estimate: Estimate | None, shape: bool = False) -> dict[str, Any]:
    shown = estimate or NOTHING
    row: dict[str, Any] = {name: shown.value, f"{name}_low": shown.low, f"{name}_high": shown.high}
    return row | ({f"{name}_interval": shown.interval.shape} if shape else {})


def _record(point: Point) -> dict[str, Any]:
    """Return a point as a row of CSV; missing values are None."""
    settings = _for_json(point.group.settings)
    row: dict[str, Any] = {"line": point.line, "role": point.group.role, "settings": point.label}
    row |= {name: settings.get(name) for name in ("c", "k", "max_oracle_tokens")}
    row |= {"seeds": len(point.group.seeds), "parse_rate": point.group.parse_rate}
    row |= _columns("share", point.share) | _columns("oracle_tokens", point.tokens)
    row |= _columns("accuracy", point.accuracy) | _columns("gap", point.gap, shape=True)
    row |= _columns(f"{CONTROL}_at_share", point.control) | _columns("difference", point.difference)
    together = point.together or NOTHING
    row |= {"difference_together_low": together.low, "difference_together_high": together.high}
    low, high = point.between or (None, None)
    return row | {f"{CONTROL}_from_share": low, f"{CONTROL}_to_share": high, f"{CONTROL}_setting": point.setting}


def _areas(curve: Curve) -> list[dict[str, Any]]:
    rows = []
    for line in curve.lines:
        row: dict[str, Any] = {"line": line.name, "points": len(line.points)}
        row |= _columns("area", line.area, shape=True)
        row |= _columns(f"area_less_{CONTROL}", line.area_over_control, shape=True)
        row["measured_by_both"] = "; ".join(f"{low:.6g} to {high:.6g}" for low, high in line.common)
        rows.append(row)
    return rows


def chosen_text(curve: Curve) -> str:
    """Return the setting that was chosen on one half of the documents, in a sentence; empty without `split`."""
    chosen = curve.chosen
    if chosen is None:
        return ""
    on, other = chosen.documents
    return (
        f"best of {chosen.of} on {on} documents: {chosen.line} {chosen.label}, {number(chosen.chosen_on.value, True)} "
        f"over {CONTROL}; on the other {other}: {number(chosen.reported_on.value, True)} "
        f"{interval_text(chosen.reported_on, True)}"
    ).rstrip()


def _for_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with ``"inf"`` for infinity, which neither JSON nor CSV knows."""
    return {name: "inf" if value == math.inf else value for name, value in settings.items()}
