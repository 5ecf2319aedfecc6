"""Pictures of predictions: predicted against true, residuals by category, coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lmx_analysis.figures import COLOURS, new_figure, rendered
from lmx_analysis.performance_prediction.aggregate import Result


def files(results: Sequence[Result], level: float) -> dict[str, bytes]:
    """Return PNG and SVG of the three pictures; `level` is that of the intervals."""
    return _scatter(results) | _residuals(results) | _coverage(results, level)


def _name(result: Result) -> str:
    return f"{result.predictor}, {result.setting['target']}\n{result.setting['model']}, {result.setting['protocol']}"


def _scatter(results: Sequence[Result]) -> dict[str, bytes]:
    wide = min(3, len(results))
    high = math.ceil(len(results) / wide)
    figure = new_figure(3.6 * wide, 3.4 * high)
    axes = np.atleast_1d(figure.subplots(high, wide, squeeze=False)).ravel()
    for place, result in zip(axes, results, strict=False):
        frame = result.frame
        place.scatter(frame["predicted"], frame["true"], s=12, color=COLOURS[0], alpha=0.6)
        both = [frame[["predicted", "true"]].min().min(), frame[["predicted", "true"]].max().max()]
        place.plot(both, both, color=COLOURS[6], linewidth=0.8)
        place.set_title(_name(result), fontsize=8)
        place.set_xlabel("predicted")
        place.set_ylabel("true")
    for place in axes[len(results) :]:
        place.set_axis_off()
    return rendered(figure, "predicted_against_true")


def _residuals(results: Sequence[Result]) -> dict[str, bytes]:
    best = max(results, key=lambda result: (result.predictor != "mean", np.nan_to_num(result.judged.r2, nan=-math.inf)))
    frame = best.frame.assign(residual=best.frame["predicted"] - best.frame["true"])
    names = sorted(frame["category"].unique())
    figure = new_figure(7, 1.2 + 0.32 * len(names))
    place = figure.subplots()
    place.boxplot([frame.loc[frame["category"] == name, "residual"] for name in names], orientation="horizontal")
    place.set_yticks(range(1, len(names) + 1), names, fontsize=7)
    place.axvline(0, color=COLOURS[6], linewidth=0.8)
    place.set_xlabel("predicted minus true")
    place.set_title(_name(best), fontsize=8)
    return rendered(figure, "residuals_by_category")


def _coverage(results: Sequence[Result], level: float) -> dict[str, bytes]:
    known = [result for result in results if not math.isnan(result.coverage)]
    if not known:
        return {}
    figure = new_figure(7, 1.2 + 0.32 * len(known))
    place = figure.subplots()
    for row, result in enumerate(known):
        interval = result.coverage_interval
        place.plot([interval.low, interval.high], [row, row], color=COLOURS[0])
        place.plot(result.coverage, row, "o", color=COLOURS[0])
    place.axvline(level, color=COLOURS[6], linewidth=0.8)
    place.set_yticks(range(len(known)), [_name(result).replace("\n", ", ") for result in known], fontsize=7)
    place.set_xlabel("share of scores inside their interval")
    return rendered(figure, "coverage")
