"""Ratios of means and their intervals: Fieller's, and the bootstrap-t beside it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.stats.bootstrap import cluster_bootstrap
from lmx_analysis.stats.intervals import LEVEL, Interval
from lmx_analysis.stats.linear import TINY, Linear

Floats = NDArray[np.float64]
FIELLER = "Fieller"
METHOD = "bootstrap-t, Fieller's where wider"
ALIKE = "all values are alike"
MAY_BE_ZERO = "the mean below may be 0"
UNDEFINED = "not defined in some resamples"
COLUMNS = 2_000
"""Ratios whose draws are held at once."""


def fieller(numerator: Linear, denominator: Linear, critical: float, level: float = LEVEL) -> Interval:
    """Return Fieller's set of numerator / denominator: every theta at which their difference may be 0.

    Each theta is tested by |numerator - theta denominator| <= critical times its standard error (E. C. Fieller, Journal
    of the Royal Statistical Society B 16, 1954, pages 175-185), so the set holds the true ratio as often as `level`
    says, however near the denominator is to 0. What this costs: where the denominator may be 0 the set has no bounds.
    It is then all that lies outside of an interval (`Interval.outside`), or every value (both ends infinite).

    Args:
        critical: of the test, e.g. `student`; `joint_critical` for several ratios at once.
    """
    if not (numerator.se > 0 or denominator.se > 0):
        return Interval.none("nothing varies", FIELLER, level)
    t2 = critical**2
    covariance = float(numerator.influence @ denominator.influence)
    a, b, c = _quadratic(
        numerator.value, denominator.value, (numerator.variance, covariance, denominator.variance), t2
    )  # fmt: skip
    if abs(a) <= TINY * max(denominator.value**2, t2 * denominator.variance):
        return _half_line(b, c, level)
    ends = _roots(a, b, c)
    low, high = float(ends[0]), float(ends[1])
    if a > 0:
        return Interval(low, high, level, FIELLER)
    if low == high:
        return Interval(-math.inf, math.inf, level, FIELLER)
    return Interval(high, low, level, FIELLER, outside=True)


def fieller_of_means(effect: Floats, whole: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the ends ``[columns]`` of Fieller's interval of sum(effect) / sum(whole), of arrays ``[units, columns]``.

    Both are NaN where the set has no bounds: there the mean of `whole` may be 0.
    """
    n = len(whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = effect.mean(axis=0), whole.mean(axis=0)
        shared = ((whole - below) * (effect - above)).sum(axis=0) / (n - 1) / n
        variances = effect.var(axis=0, ddof=1) / n, shared, whole.var(axis=0, ddof=1) / n
        a, b, c = _quadratic(above, below, variances, stats.t.ppf((1 + level) / 2, n - 1) ** 2)
        low, high = _roots(a, b, c)
        return np.where(a > 0, low, np.nan), np.where(a > 0, high, np.nan)


def _quadratic(above: Any, below: Any, variances: tuple[Any, Any, Any], t2: Any) -> tuple[Any, Any, Any]:
    """Return a, b and c of Fieller's set, a theta^2 - 2 b theta + c <= 0.

    Args:
        above, below: the means. variances: of the upper mean, of both, of the lower one. t2: the critical value
            squared.
    """
    of_above, of_both, of_below = variances
    return below**2 - t2 * of_below, above * below - t2 * of_both, above**2 - t2 * of_above


def _roots(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """Return where a theta^2 - 2 b theta + c is 0; the smaller first where a is positive."""
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    return (b - root) / a, (b + root) / a


def _half_line(b: float, c: float, level: float) -> Interval:
    """Return the solutions of -2 b theta + c <= 0."""
    if b == 0:
        return Interval(-math.inf, math.inf, level, FIELLER)
    end = c / (2 * b)
    return Interval(end, math.inf, level, FIELLER) if b > 0 else Interval(-math.inf, end, level, FIELLER)


def ratio_intervals(effect: Floats, whole: Floats, resamples: int, seed: int) -> tuple[Floats, list[Interval]]:
    """Return sum(effect) / sum(whole) of each column of arrays ``[units, columns]``, and its interval.

    Units are drawn with all their columns, the same for each column; see `share_intervals`.
    """
    values: list[float] = []
    found: list[Interval] = []
    for start in range(0, effect.shape[1], COLUMNS):
        some = slice(start, start + COLUMNS)
        statistic = partial(studied, effect=effect[:, some], whole=whole[:, some])
        draws = cluster_bootstrap(statistic, np.arange(len(whole)), resamples, seed)
        values += draws[0, 0].tolist()
        found += share_intervals(draws, effect[:, some], whole[:, some])
    return np.array(values), found


def studied(weights: Floats, effect: Floats, whole: Floats) -> Floats:
    """Return ratios sum(effect) / sum(whole) and their standard errors, ``[rows, 2, columns]``.

    Args:
        weights: how often each unit counts, ``[rows, units]``. effect, whole: ``[units, columns]``.

    The standard error is the linearised one of a ratio of means (W. G. Cochran, Sampling Techniques, 3rd ed., 1977,
    section 6.4): the root of sum w (effect - ratio whole)^2, over sum(whole).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = weights @ whole
        ratio = (weights @ effect) / total
        squares = weights @ effect**2 - 2 * ratio * (weights @ (effect * whole)) + ratio**2 * (weights @ whole**2)
        return np.stack([ratio, np.sqrt(np.maximum(squares, 0.0)) / np.abs(total)], axis=1)


def share_intervals(draws: Floats, effect: Floats, whole: Floats) -> list[Interval]:
    """Return the interval of each column's ratio: the wider ends of the bootstrap-t and of Fieller's.

    Args:
        draws: ``[1 + resamples, 2, columns]`` of `studied`; observed values first. effect, whole: ``[units, columns]``.

    Bootstrap-t: (draw - observed) / its standard error is free of the skewness that percentiles keep (P. Hall, The
    Bootstrap and Edgeworth Expansion, 1992, section 3.3). With some dozen units it covers too rarely where a few of
    them weigh much, and Fieller's too rarely where effects are skewed; both together do well in either case
    (`benchmarks/studies/mediation_coverage.py`). Withheld where nothing varies, a draw is not defined or the mean of
    `whole` may be 0.
    """
    (value, error), ratios, errors = draws[0], draws[1:, 0], draws[1:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (ratios - value) / errors
    tiny = 1e-9 * np.maximum(np.abs(value), 1e-3)
    lower, upper = fieller_of_means(effect, whole)
    found = []
    for column in range(len(value)):
        drawn = t[:, column]
        if not np.isfinite(value[column]) or not np.isfinite(ratios[:, column]).all():
            found.append(Interval.none(UNDEFINED, METHOD, LEVEL))
        elif not np.isfinite(lower[column]):
            found.append(Interval.none(MAY_BE_ZERO, METHOD, LEVEL))
        elif not error[column] > tiny[column] or not np.isfinite(drawn).all():
            found.append(Interval.none(ALIKE, METHOD, LEVEL))
        else:
            high, low = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            ends = value[column] - low * error[column], value[column] - high * error[column]
            found.append(
                Interval(float(min(ends[0], lower[column])), float(max(ends[1], upper[column])), LEVEL, METHOD)
            )  # fmt: skip
    return found
