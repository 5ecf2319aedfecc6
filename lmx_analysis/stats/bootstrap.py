"""The cluster bootstrap of any statistic, and the intervals that its draws give."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.stats.intervals import LEVEL, Interval

Floats = NDArray[np.float64]
CHUNK = 4_000_000
"""Weights held in memory at once (32 MB)."""


def cluster_bootstrap(
    statistic: Callable[[Floats], Floats], clusters: NDArray[np.intp], resamples: int, seed: int
) -> Floats:
    """Return a statistic on the documents observed and on resamples of them, shape ``[1 + resamples, ...]``.

    Whole clusters are drawn with replacement (pairs cluster bootstrap: Cameron, Gelbach and Miller, Review of Economics
    and Statistics 90, 2008, pages 414-427). Row 0 is the observed value. Whatever is computed of one row stays paired,
    so several estimates that are to be compared must come from one call.

    Args:
        statistic: a function of weights ``[rows, documents]``, how often each document was drawn, that returns one
            estimate (of any shape) a row: ``[rows, ...]``. A mean is ``weights @ values / weights.sum(axis=1)``.
        clusters: the number of each document's cluster, 0 to clusters - 1, shape ``[documents]``; ``np.arange(n)``
            where documents are independent.
    """
    rng = np.random.default_rng(seed)
    count = int(clusters.max()) + 1
    step = max(1, CHUNK // max(count, clusters.size))
    found = []
    for start in range(0, 1 + resamples, step):
        rows = min(step, 1 + resamples - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=rows).astype(np.float64)
        if start == 0:
            drawn[0] = 1.0
        found.append(np.asarray(statistic(drawn[:, clusters]), dtype=np.float64))
    return np.concatenate(found)


def percentile(draws: Floats, level: float = LEVEL) -> Interval:
    """Return the percentile interval of draws ``[1 + resamples]`` (observed first).

    Withheld where a draw is not finite and where all draws are equal: a bootstrap of values that are all alike knows
    nothing. With few documents its true level falls short; `wilson` and `mean_t` are for single means.
    """
    drawn = draws[1:]
    if not np.isfinite(draws).all():
        return Interval.none("not defined in some resamples", "percentile bootstrap", level)
    if drawn.size < 2 or not np.ptp(drawn) > 1e-12:
        return Interval.none("all values are alike", "percentile bootstrap", level)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "percentile bootstrap")


def simultaneous(draws: Floats, level: float = LEVEL) -> list[Interval]:
    """Return intervals that hold together for all estimates of a set, draws of shape ``[1 + resamples, estimates]``.

    Each is value ± q se, se the standard deviation of its draws and q the `level` quantile, over resamples, of the
    largest |draw - value| / se of the set (max-|t|: Westfall and Young, Resampling-Based Multiple Testing, 1993;
    Montiel Olea and Plagborg-Møller, Journal of Applied Econometrics 34, 2019). Estimates that are not finite in
    some draw, or do not vary, get none and do not count.
    """
    observed, drawn = draws[0], draws[1:]
    with np.errstate(invalid="ignore"):
        se = drawn.std(axis=0, ddof=1)
        usable = np.isfinite(draws).all(axis=0) & (se > 1e-12)
    critical = math.nan
    if usable.any():
        t = np.abs(drawn[:, usable] - observed[usable]) / se[usable]
        critical = float(np.quantile(t.max(axis=1), level, method="higher"))
    method = f"simultaneous over {int(usable.sum())}"
    return [
        Interval(float(value - critical * s), float(value + critical * s), level, method)
        if good
        else Interval.none("all values are alike, or not defined in some resamples", method, level)
        for value, s, good in zip(observed, se, usable, strict=True)
    ]
