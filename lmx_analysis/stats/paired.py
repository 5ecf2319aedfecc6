"""The comparison of paired measurements: two runs answered the same documents.

Rates of independent documents get McNemar's exact test and Newcombe's interval. Everything else gets sign flips of
cluster sums (`signflip`), and, where the differences are evidently skewed, Hall's corrected t as well (`skew`): then
the larger p and the hull of the two intervals count, so that test and interval still agree.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.stats import signflip, skew
from lmx_analysis.stats.clusters import cluster_sums, effective_clusters, numbered
from lmx_analysis.stats.intervals import Interval, newcombe

Floats = NDArray[np.float64]
MCNEMAR = "McNemar exact"


@dataclass(frozen=True)
class Paired:
    """The comparison of one metric on paired documents; the difference is run minus reference.

    Attributes:
        n: pairs of documents. clusters: independent groups of them. differing: clusters whose sums differ.
        effective: clusters of equal size that would tell as much, at most `clusters`.
        reference, run: means over the pairs. difference: of the means, in the metric's unit.
        interval: of the difference. p: two-sided, not corrected. test: the name of the test.
        skewness: of the cluster sums around their mean; NaN for rates of independent documents.
    """

    n: int
    clusters: int
    differing: int
    effective: float
    reference: float
    run: float
    difference: float
    interval: Interval
    p: float
    test: str
    skewness: float


def compare_paired(
    reference: Sequence[float],
    run: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    rate: bool = False,
    share: bool = False,
    resamples: int = 10_000,
    seed: int = 1234,
) -> Paired:
    """Compare paired values, shape ``[n]`` each, one pair a document.

    Args:
        clusters: names the group of each document; without it every document is its own.
        rate: whether the values are 0 or 1 by what the metric is. With `clusters` they get the cluster method.
        share: whether they are shares of texts that are 0 or 1, as of several seeds. Like a rate in clusters they get
            sign flips without the correction for skewness, which only unbounded values need.

    Raises:
        ValueError: no pairs, unequal lengths, values that are not finite, or a rate that is neither 0 nor 1.
    """
    return compare_columns(
        np.asarray(reference, dtype=np.float64)[:, None], np.asarray(run, dtype=np.float64)[:, None],
        None if clusters is None else numbered(clusters), rate=[rate], share=[share], resamples=resamples, seed=seed,
    )[0]  # fmt: skip


def compare_columns(
    reference: Floats,
    run: Floats,
    clusters: NDArray[np.intp] | None = None,
    *,
    rate: Sequence[bool],
    share: Sequence[bool] | None = None,
    resamples: int = 10_000,
    seed: int = 1234,
) -> list[Paired]:
    """Compare many columns of paired values at once, shape ``[documents, columns]``; see `compare_paired`.

    A pair takes part in a column unless both its values are NaN there. `clusters` are numbers from 0.
    """
    if reference.shape != run.shape or not reference.size:
        raise ValueError("pairs of finite values are needed")
    there = ~(np.isnan(reference) & np.isnan(run))
    a, b = np.where(there, reference, 0.0), np.where(there, run, 0.0)
    if not (there.any(axis=0).all() and np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("pairs of finite values are needed")
    total, size = differences(a, b, there, clusters)
    binary = [each and clusters is None for each in rate]
    means = [not each for each in binary]
    flipped = iter(signflip.flip_test(total[:, means], size[:, means], resamples, seed) if any(means) else ())
    limited = [each or (share is not None and share[column]) for column, each in enumerate(rate)]
    found = []
    for column, exact in enumerate(binary):
        taken = there[:, column]
        x, y = a[taken, column], b[taken, column]
        if exact:
            found.append(_of_rates(x, y))
        else:
            tested = _of_means(x, y, total[:, column], size[:, column], next(flipped), limited[column])
            name = tested.test if clusters is None else f"{tested.test}, {tested.clusters} clusters"
            found.append(replace(tested, test=name, interval=replace(tested.interval, method=name)))
    return found


def differences(
    a: Floats, b: Floats, there: NDArray[np.bool_], clusters: NDArray[np.intp] | None
) -> tuple[Floats, Floats]:
    """Return sums of the differences and numbers of pairs, shape ``[clusters, columns]``; rounding is no difference."""
    size = there.astype(np.float64)
    total = (b - a) * size
    if clusters is not None:
        total, size = cluster_sums(total, clusters), cluster_sums(size, clusters)
    largest = np.maximum(np.abs(a), np.abs(b)).max(axis=0)
    total[np.abs(total) <= 1e-12 * size * largest] = 0.0
    return total, size


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return McNemar's exact two-sided p: under no difference, the pairs that differ fall either way with p = 1/2."""
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def _of_rates(x: Floats, y: Floats) -> Paired:
    if not (np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all()):
        raise ValueError("values of a rate are 0 or 1")
    gained, lost = int(((x == 0) & (y == 1)).sum()), int(((x == 1) & (y == 0)).sum())
    both, n = int(((x == 1) & (y == 1)).sum()), x.size
    interval = newcombe(both, gained, lost, n - both - gained - lost)
    d, p = float((y - x).mean()), mcnemar_exact(gained, lost)
    return Paired(
        n, n, gained + lost, float(n), float(x.mean()), float(y.mean()), d, interval, p, MCNEMAR, math.nan
    )  # fmt: skip


def _of_means(x: Floats, y: Floats, total: Floats, size: Floats, flipped: signflip.Flipped, limited: bool) -> Paired:
    total, size = total[size > 0], size[size > 0]
    n = int(size.sum())
    d = float(total.sum()) / n
    residual = total - size * d
    p, interval = flipped.p, flipped.interval
    if interval.known and not limited and skew.evidently_skewed(residual):
        p_skew, corrected = skew.hall_test(total, size)
        if corrected.known:
            p, interval = max(p, p_skew), interval.hull(corrected)
    differing, effective = int(np.count_nonzero(total)), effective_clusters(size)
    means = (float(x.mean()), float(y.mean()), d)
    return Paired(
        n, total.size, differing, effective, *means, interval, p, signflip.METHOD, skew.skewness(residual)
    )  # fmt: skip
