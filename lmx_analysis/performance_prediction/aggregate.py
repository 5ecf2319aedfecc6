"""Predictions of any number of trainings become one table, with the mean beside every row and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis import stats
from lmx_analysis.performance_prediction import conformal, data, power
from lmx_analysis.performance_prediction.measures import RESAMPLES, Floats, Judged, judge
from lmx_files.errors import UserError

FILE = "predictions.parquet"
SETTING = ["model", "target", "scale", "protocol", "deduplicated"]
COLUMNS = (*SETTING, "predictor", "seed", "fold", "task", "group", "true", "predicted", "mean", "noise", "variance")
BOUNDS = {"rougeL": (0.0, 100.0), "exact_match": (0.0, 100.0), "loss": (0.0, math.inf)}


@dataclass(frozen=True)
class Result:
    """One predictor under one protocol for one model's scores.

    Attributes:
        setting: model, target, scale, protocol and whether near-duplicates were left out.
        judged: the measures. p_holm: corrected over the predictors of the same setting.
        verdict: ``beats the mean``, ``does not beat the mean`` or ``does not beat the mean, and is worse``; empty for
            the mean itself.
        rmse_seeds, rmse_mean_seeds: mean and standard deviation of the RMSE over seeds (NaN with one seed).
        coverage: share of scores inside their intervals, and how sure that is; width: mean width of these.
        smallest_r2: what so many tasks can show with a power of 80 %, were they independent; smallest_r2_groups: were
            each group no more than one task.
        pilots, pilots_shrunk: instances whose plain mean (or one drawn to the mean of all tasks) is better; inf: none.
    """

    setting: dict[str, Any]
    predictor: str
    judged: Judged
    p_holm: float
    verdict: str
    rmse_seeds: tuple[float, float]
    rmse_mean_seeds: tuple[float, float]
    coverage: float
    coverage_interval: stats.Interval
    width: float
    smallest_r2: float
    smallest_r2_groups: float
    pilots: float
    pilots_shrunk: float
    frame: pd.DataFrame


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the predictions of trainings: folders that hold them at any depth, or their Parquet files.

    Raises:
        UserError: a path holds none, a column is missing, or one prediction is there twice.
    """
    frames = []
    for file in files_of(paths):
        frame = data.read_frame(file)
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise UserError(f"{file} has no column {missing[0]!r}: it was not written by lmx perfpred train")
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    if whole.empty:
        raise UserError(f"{paths[0]} holds no predictions: train a predictor first")
    twice = whole.duplicated([*SETTING, "predictor", "seed", "task"])
    if twice.any():
        row = whole[twice].iloc[0]
        raise UserError(
            f"task {row['task']!r} is predicted twice by {row['predictor']} ({row['protocol']}, seed {row['seed']}): "
            "the same training is given twice, or two with other settings; aggregate them one by one"
        )
    return whole


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files of predictions at or below paths; a `UserError` where a path has none."""
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob(FILE)) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise UserError(f"{path} holds no {FILE}: name what lmx perfpred train wrote with -o")
    return found


def aggregate(
    frame: pd.DataFrame, *, level: float = conformal.LEVEL, resamples: int = RESAMPLES, seed: int = 1234
) -> list[Result]:
    """Judge every predictor of every setting, in the order of the frame; p are Holm-corrected within a setting."""
    results = []
    for setting, part in frame.groupby(SETTING, sort=False, dropna=False):
        made = {
            str(name): _of_predictor(rows.reset_index(drop=True), level, resamples, seed)
            for name, rows in part.groupby("predictor", sort=False)
        }
        tested = [name for name, (judged, *_rest) in made.items() if name != "mean"]
        holm = dict(zip(tested, stats.holm([made[name][0].p for name in tested]), strict=True)) if tested else {}
        named = dict(zip(SETTING, setting, strict=True))
        for name, (judged, rest) in made.items():
            p = float(holm.get(name, math.nan))
            results.append(Result(named, name, judged, p, verdict(judged, p) if name in holm else "", **rest))
    return results


def verdict(judged: Judged, p: float) -> str:
    """Say whether a predictor beats the mean: p (corrected) is below 0.05 and the bootstrap's interval excludes 0."""
    if p < 0.05 and judged.rmse_difference_interval.excludes(0.0):
        return "beats the mean" if judged.rmse < judged.rmse_mean else "does not beat the mean, and is worse"
    return "does not beat the mean"


def _of_predictor(rows: pd.DataFrame, level: float, resamples: int, seed: int) -> tuple[Judged, dict[str, Any]]:
    true, predicted, mean, noise = (
        rows[name].to_numpy(dtype=np.float64) for name in ("true", "predicted", "mean", "noise")
    )
    judged = judge(
        true, predicted, mean, noise, rows["task"].tolist(), rows["group"].tolist(), resamples=resamples, seed=seed
    )
    low, high = BOUNDS.get(str(rows["target"].iloc[0]), (-math.inf, math.inf))
    held, interval, width = math.nan, stats.Interval.none("the published splits predict no task out of fold"), math.nan
    if rows["protocol"].iloc[0] != "published":
        found = _intervals(rows, true, predicted, low, high, level)
        held, interval = conformal.coverage(true, found)
        width = float((found[:, 1] - found[:, 0]).mean())
        rows = rows.assign(low=found[:, 0], high=found[:, 1])
    error, between = _without_noise(true, predicted, mean, noise)
    within = float(rows["variance"].mean(skipna=False))
    return judged, {
        "rmse_seeds": _over_seeds(rows, predicted), "rmse_mean_seeds": _over_seeds(rows, mean),
        "coverage": held, "coverage_interval": interval, "width": width,
        "smallest_r2": power.smallest_r2(judged.tasks),
        "smallest_r2_groups": power.smallest_r2(int(judged.effective_clusters)),
        "pilots": power.pilots_that_beat(error, within),
        "pilots_shrunk": power.pilots_that_beat(error, within, between),
        "frame": rows,
    }  # fmt: skip


def _intervals(
    rows: pd.DataFrame, true: Floats, predicted: Floats, low: float, high: float, level: float
) -> Floats:  # fmt: skip
    """Return intervals, made within each seed: another seed predicts the same tasks again."""
    found = np.zeros((true.size, 2))
    seeds = rows["seed"].to_numpy()
    for seed in np.unique(seeds):
        own = seeds == seed
        folds = rows["fold"].to_numpy()[own].tolist()
        found[own] = conformal.intervals(true[own], predicted[own], folds, low, high, level)
    return found


def _over_seeds(rows: pd.DataFrame, predicted: Floats) -> tuple[float, float]:
    squared = pd.Series((predicted - rows["true"].to_numpy(dtype=np.float64)) ** 2)
    each = np.sqrt(squared.groupby(rows["seed"].to_numpy()).mean().to_numpy())
    return (float(each.mean()), float(each.std(ddof=1))) if each.size > 1 else (math.nan, math.nan)


def _without_noise(true: Floats, predicted: Floats, mean: Floats, noise: Floats) -> tuple[float, float]:
    """Return a predictor's squared error against noise-free scores, and the variance of these; never below 0."""
    error = float(np.square(predicted - true).mean() - noise.mean())
    between = float(np.square(mean - true).mean() - noise.mean())
    return (max(error, 0.0), max(between, 0.0)) if math.isfinite(error) else (math.nan, math.nan)
