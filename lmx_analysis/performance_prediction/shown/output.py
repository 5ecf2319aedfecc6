"""What `train` and `aggregate` write and print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lmx_analysis.performance_prediction.aggregate import FILE, Result
from lmx_analysis.tables import csv_text, json_text, number, p_value, table
from lmx_files import manifest, parquet

PACKAGES = (*manifest.ANALYSES, "scikit-learn", "crepes", "torch", "transformers", "peft")

if TYPE_CHECKING:
    from rich.table import Table


def predictions(records: Sequence[dict[str, Any]], told: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of a training; `told`: its dataset, the dataset's sha256, its options and notes."""
    options = told["options"]
    made = manifest.of_analysis({told["dataset"]: told["sha256"]}, options, {"splits": options["seeds"]}, PACKAGES)
    whole = told | made
    return {
        FILE: parquet.encoded(pd.DataFrame(list(records))),
        "predictions.csv": csv_text(records).encode(),
        "train.json": json_text(whole).encode(),
    }


def rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the tidy table, one row for each result; None where there is no number."""
    return [_row(result) for result in results]


def _row(result: Result) -> dict[str, Any]:
    judged = result.judged
    values = {
        **result.setting, "predictor": result.predictor, "verdict": result.verdict,
        "rmse": judged.rmse, "rmse_of_mean": judged.rmse_mean, "mae": judged.mae, "r2": judged.r2,
        "r2_low": judged.r2_interval.low, "r2_high": judged.r2_interval.high, "r2_corrected": judged.r2_corrected,
        "rmse_difference_low": judged.rmse_difference_interval.low,
        "rmse_difference_high": judged.rmse_difference_interval.high,
        "spearman": judged.spearman, "p": judged.p, "p_holm": result.p_holm,
        "predictions": judged.n, "tasks": judged.tasks, "groups": judged.clusters,
        "effective_groups": judged.effective_clusters, "label_noise": judged.noise,
        "smallest_r2": result.smallest_r2, "smallest_r2_groups": result.smallest_r2_groups,
        "rmse_seeds_mean": result.rmse_seeds[0],
        "rmse_seeds_sd": result.rmse_seeds[1], "rmse_of_mean_seeds_mean": result.rmse_mean_seeds[0],
        "rmse_of_mean_seeds_sd": result.rmse_mean_seeds[1], "coverage": result.coverage,
        "coverage_low": result.coverage_interval.low, "coverage_high": result.coverage_interval.high,
        "interval_width": result.width, "pilots": result.pilots, "pilots_shrunk": result.pilots_shrunk,
    }  # fmt: skip
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def files(results: Sequence[Result], plots: bool, level: float, inputs: Iterable[Path] = ()) -> dict[str, str | bytes]:
    """Return ``results.csv``, ``.json``, ``.parquet``, the predictions with intervals, and plots if asked for.

    Args:
        inputs: the files that the results are made of.
    """
    made = rows(results)
    each = pd.concat([result.frame for result in results], ignore_index=True)
    about = manifest.of_analysis(inputs, {"level": level}, packages=PACKAGES)
    whole = {"level": level, "results": made, "said": sentences(results), **about}
    found: dict[str, str | bytes] = {
        "results.csv": csv_text(made),
        "results.parquet": parquet.encoded(pd.DataFrame(made)),
        "intervals.parquet": parquet.encoded(each),
        "results.json": json_text(whole),
    }
    if plots:
        from lmx_analysis.performance_prediction.shown import plots as drawing

        found |= drawing.files(results, level)
    return found


def result_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table for each setting."""
    settings: dict[str, list[Result]] = {}
    for result in results:
        settings.setdefault(title(result), []).append(result)
    columns = [
        ("predictor", False), ("RMSE", True), ("of the mean", True), ("R2", True), ("95% interval", True),
        ("R2 corrected", True), ("MAE", True), ("Spearman", True), ("p (Holm)", True), ("coverage", True),
        ("pilots", True), ("", False),
    ]  # fmt: skip
    return [table(name, columns, [_cells(result) for result in part]) for name, part in settings.items()]


def title(result: Result) -> str:
    """Name a setting, for headings."""
    setting = result.setting
    alone = ", near-duplicates left out" if setting["deduplicated"] else ""
    return f"{setting['target']} of {setting['model']}, protocol {setting['protocol']}, {setting['scale']}{alone}"


def _cells(result: Result) -> list[str]:
    judged = result.judged
    interval = judged.r2_interval
    return [
        result.predictor, _short(judged.rmse), _short(judged.rmse_mean), number(judged.r2, signed=True),
        f"{interval.low:+.3f} to {interval.high:+.3f}" if interval.known else "—",
        number(judged.r2_corrected, signed=True), _short(judged.mae), number(judged.spearman, signed=True),
        p_value(result.p_holm), _short(result.coverage, 3), pilots(result.pilots), result.verdict,
    ]  # fmt: skip


def pilots(count: float) -> str:
    """Return a number of instances for print."""
    return "—" if math.isnan(count) else "none" if math.isinf(count) else str(int(count))


def _short(value: float, digits: int = 2) -> str:
    return "—" if math.isnan(value) else f"{value:.{digits}f}"


def sentences(results: Sequence[Result]) -> list[str]:
    """Say for each setting which predictors do not beat the mean, and what so many tasks can show."""
    settings: dict[str, list[Result]] = {}
    for result in results:
        settings.setdefault(title(result), []).append(result)
    said = []
    for name, part in settings.items():
        for words in ("beats the mean", "does not beat the mean", "does not beat the mean, and is worse"):
            named = [result.predictor for result in part if result.verdict == words]
            if named:
                said.append(f"{name}: {words}: {', '.join(named)}")
        first, judged = part[0], part[0].judged
        said.append(
            f"{name}: {judged.tasks} tasks show {_least(first.smallest_r2)} with a power of 80 %, or "
            f"{_least(first.smallest_r2_groups)} if each of their {judged.clusters} groups is worth one task; "
            f"label noise {_short(judged.noise)} of an RMSE of {_short(judged.rmse_mean)} of the mean"
        )
    return said


def _least(r2: float) -> str:
    return "no R2 at all" if math.isnan(r2) else f"R2 of {r2:.2f} or more"
