"""The section of the report: what beats the mean and what does not, every row beside the mean, residuals, coverage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lmx_analysis.performance_prediction.aggregate import Result
from lmx_analysis.performance_prediction.shown import output
from lmx_analysis.sections import Picture, Section, Table, cells

SETTINGS = 25
"""Settings (model, target, protocol, ...) that get tables; the others are in results.csv."""
COLUMNS = [
    "predictor", "RMSE", "RMSE of the mean", "R2", "R2, 95 % from", "to", "R2 corrected", "MAE", "Spearman", "p (Holm)",
    "RMSE by seed", "of the mean by seed", "coverage", "interval's width", "pilot instances", "verdict",
]  # fmt: skip
NOTE = (
    "All errors in the unit of the target, on the same tasks as the mean's. R2 is 1 - squared errors / those of the "
    "mean; corrected: against scores of endless instances. Pilot instances: so many, run and averaged, predict the "
    "task's score better. Coverage: how many scores the {level:.0f} % intervals hold."
)


def section(results: Sequence[Result], level: float, pictures: Iterable[str]) -> Section:
    """Return the section of a judgement.

    Args:
        level: of the intervals. pictures: names of the pictures that were written beside it.
    """
    settings = by_setting(results)
    shown = dict(list(settings.items())[:SETTINGS])
    left_out = len(settings) - len(shown)
    text = [conclusion(results), *output.sentences([each for part in shown.values() for each in part])]
    if left_out:
        text.append(f"{left_out} further settings are in results.csv.")
    tables = [_judged(name, part, level) for name, part in shown.items()]
    tables += [_by_category(name, best) for name, part in shown.items() if (best := best_of(part)) is not None]
    captions = {
        "predicted_against_true.png": "Predicted against true scores, a panel a predictor; on the line they agree.",
        "residuals_by_category.png": "Predicted minus true by category, of the predictor with the largest R2.",
        "coverage.png": f"How many scores lie inside their interval, with 95 % intervals; the line is {level:.0%}.",
    }
    there = set(pictures)
    models = ", ".join(dict.fromkeys(str(result.setting["model"]) for result in results))
    return Section(
        analysis="perfpred", title=f"Scores predicted from the instruction: {models}", text=text[:60], tables=tables,
        pictures=[Picture(file=name, caption=caption) for name, caption in captions.items() if name in there],
    )  # fmt: skip


def by_setting(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results by the name of their setting."""
    settings: dict[str, list[Result]] = {}
    for result in results:
        settings.setdefault(output.title(result), []).append(result)
    return settings


def conclusion(results: Sequence[Result]) -> str:
    """Say in a sentence or two what beats the mean from the instruction alone, and what does that knows more."""
    said = []
    for knows, words in ((False, "from the instruction alone"), (True, "with scores of the task itself")):
        own = [each for each in results if each.predictor != "mean" and bool(_needs(each)) == knows]
        better = [f"{each.predictor} ({output.title(each)})" for each in own if each.verdict == "beats the mean"]
        if better:
            said.append(f"Beats the mean of the training tasks {words}: {'; '.join(better[:8])}.")
        elif own:
            said.append(f"Nothing that predicts {words} beats the mean of the training tasks ({len(own)} tried).")
    return " ".join(said) or "Only the mean of the training tasks was tried."


def _needs(result: Result) -> str:
    """Return what a predictor needs beside the instruction: other models' scores or k instances; empty for nothing."""
    return str(result.frame["needs"].iloc[0]) if "needs" in result.frame else ""


def best_of(part: Sequence[Result]) -> Result | None:
    """Return the predictor of the largest R2, of those other than the mean; None where there is none."""
    others = [each for each in part if each.predictor != "mean"]
    return max(others, key=lambda each: np.nan_to_num(each.judged.r2, nan=-math.inf), default=None)


def _judged(name: str, part: Sequence[Result], level: float) -> Table:
    rows = []
    for each in part:
        judged = each.judged
        numbers = [
            judged.rmse, judged.rmse_mean, judged.r2, judged.r2_interval.low, judged.r2_interval.high,
            judged.r2_corrected, judged.mae, judged.spearman, each.p_holm,
        ]  # fmt: skip
        seeds = [_spread(each.rmse_seeds), _spread(each.rmse_mean_seeds)]
        rows.append([
            each.predictor, *(_rounded(value) for value in numbers), *seeds, _rounded(each.coverage),
            _rounded(each.width), output.pilots(each.pilots), each.verdict or "what all are set against",
        ])  # fmt: skip
    return Table(title=name, columns=COLUMNS, rows=cells(rows), note=NOTE.format(level=100 * level))


def _by_category(name: str, result: Result) -> Table:
    squared = (result.frame["predicted"] - result.frame["true"]) ** 2
    of_mean = (result.frame["mean"] - result.frame["true"]) ** 2
    frame = pd.DataFrame({
        "category": result.frame["category"], "task": result.frame["task"], "squared": squared, "of_mean": of_mean,
        "residual": result.frame["predicted"] - result.frame["true"],
    })  # fmt: skip
    rows = [
        [
            str(category), part["task"].nunique(), _rounded(part["residual"].mean()),
            _rounded(math.sqrt(part["squared"].mean())), _rounded(math.sqrt(part["of_mean"].mean())),
        ]
        for category, part in frame.groupby("category")
    ]  # fmt: skip
    columns = ["category", "tasks", "predicted minus true", "RMSE", "RMSE of the mean"]
    note = "Categories of few tasks tell little, and these numbers are not tested."
    return Table(
        title=f"Residuals of {result.predictor} by category: {name}", columns=columns, rows=cells(rows), note=note
    )


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None


def _spread(found: tuple[float, float]) -> str:
    return "—" if math.isnan(found[0]) else f"{found[0]:.2f} ± {found[1]:.2f}"
