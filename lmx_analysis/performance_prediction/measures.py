"""How good predictions are, and how sure that is.

e: predicted minus true, m: the training mean minus true, of the same tasks. R2 = 1 - sum e^2 / sum m^2, so that a
predictor has R2 above 0 just when its RMSE is below that of the mean; the mean itself has 0.

The true scores are means of a few instances. With v the variance of such a mean, both sums are too large by sum v, and
R2 of the scores that endless instances would give is 1 - (sum e^2 - sum v) / (sum m^2 - sum v) (the correction for
attenuation: Spearman, American Journal of Psychology 15, 1904).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from lmx_analysis import stats
from lmx_analysis.stats import Interval

Floats = NDArray[np.float64]
RESAMPLES = 5_000


@dataclass(frozen=True)
class Judged:
    """The measures of one predictor; errors in the unit of the target.

    Attributes:
        n: predictions. tasks: different ones. clusters: groups of tasks that are not independent.
        rmse, mae, rmse_mean (of the training mean), r2, spearman (NaN for the mean itself, whose predictions differ by
            fold and against the fold's scores, and where all predictions or scores are alike).
        r2_corrected: R2 against noise-free scores; NaN where the noise is not known or explains all differences.
        noise: root mean variance of the true scores' means; what no predictor can get below in RMSE.
        r2_interval, rmse_difference_interval: paired bootstrap over clusters; the difference is RMSE minus the mean's.
        p: two-sided, that the squared errors do not differ from the mean's; sign flips of clusters.
    """

    n: int
    tasks: int
    clusters: int
    effective_clusters: float
    rmse: float
    rmse_mean: float
    mae: float
    r2: float
    r2_corrected: float
    spearman: float
    noise: float
    r2_interval: Interval
    rmse_difference_interval: Interval
    p: float


def judge(
    true: Floats, predicted: Floats, mean: Floats, noise: Floats, tasks: Sequence[Hashable],
    groups: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = 1234,
) -> Judged:  # fmt: skip
    """Judge predictions, arrays of shape ``[n]``.

    Args:
        mean: what the mean of the training tasks would have predicted. noise: variances of `true`, NaN if unknown.
        tasks: the task of each prediction (several splits may predict one). groups: what counts as independent.
    """
    differs = bool(np.any(np.abs(predicted - mean) > 1e-9))
    m = (mean - true) ** 2
    e = (predicted - true) ** 2 if differs else m
    clusters = stats.numbered(groups)
    draws = stats.cluster_bootstrap(lambda weights: _of_sums(weights, e, m), clusters, resamples, seed)
    p = stats.compare_paired(m.tolist(), e.tolist(), groups, resamples=10_000, seed=seed).p if differs else 1.0
    ranks = spearman(true, predicted) if differs else math.nan
    sums = float(e.sum()), float(m.sum())
    return Judged(
        n=true.size, tasks=len(set(tasks)), clusters=int(clusters.max()) + 1,
        effective_clusters=stats.effective_clusters(np.bincount(clusters).astype(np.float64)),
        rmse=math.sqrt(e.mean()), rmse_mean=math.sqrt(m.mean()), mae=float(np.abs(predicted - true).mean()),
        r2=_ratio(*sums), r2_corrected=corrected(*sums, float(noise.sum())), spearman=ranks,
        noise=math.sqrt(float(noise.mean())) if np.isfinite(noise).all() else math.nan,
        r2_interval=stats.percentile(draws[:, 0]), rmse_difference_interval=stats.percentile(draws[:, 1]), p=p,
    )  # fmt: skip


def corrected(squared: float, squared_mean: float, noise: float) -> float:
    """Return R2 against scores without noise, given sums over the tasks; NaN if the noise leaves nothing to explain."""
    if not squared_mean - noise > 0:
        return math.nan
    return 1 - (squared - noise) / (squared_mean - noise)


def spearman(true: Floats, predicted: Floats) -> float:
    """Return the rank correlation; NaN where one side is constant (as the mean's predictions nearly are)."""
    if np.ptp(true) <= 1e-9 or np.ptp(predicted) <= 1e-9:
        return math.nan
    return float(scipy_stats.spearmanr(true, predicted).statistic)


def _ratio(squared: float, squared_mean: float) -> float:
    return 1 - squared / squared_mean if squared_mean > 0 else math.nan


def _of_sums(weights: Floats, e: Floats, m: Floats) -> Floats:
    """Return R2 and the difference of the RMSEs for each row of weights, shape ``[rows, 2]``."""
    of_e, of_m, count = weights @ e, weights @ m, weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([1 - of_e / of_m, np.sqrt(of_e / count) - np.sqrt(of_m / count)], axis=1)
