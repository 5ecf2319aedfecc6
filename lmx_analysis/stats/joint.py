"""Intervals of estimates with influences: of a ratio, and of many estimates at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from lmx_analysis.stats.intervals import LEVEL, Interval
from lmx_analysis.stats.linear import TINY, Floats, Linear

FIELLER = "Fieller"


def student(df: float, level: float = LEVEL) -> float:
    """Return the two-sided point of Student's t, e.g. 1.96 for many degrees of freedom and 95 %."""
    return float(stats.t.ppf((1 + level) / 2, df))


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
    # the set is a theta^2 - 2 b theta + c <= 0
    a = denominator.value**2 - t2 * denominator.variance
    b = numerator.value * denominator.value - t2 * covariance
    c = numerator.value**2 - t2 * numerator.variance
    if abs(a) <= TINY * max(denominator.value**2, t2 * denominator.variance):
        return _half_line(b, c, level)
    root = math.sqrt(max(b * b - a * c, 0.0))
    if a > 0:
        return Interval((b - root) / a, (b + root) / a, level, FIELLER)
    if root == 0:
        return Interval(-math.inf, math.inf, level, FIELLER)
    return Interval((b + root) / a, (b - root) / a, level, FIELLER, outside=True)


def _half_line(b: float, c: float, level: float) -> Interval:
    """Return the solutions of -2 b theta + c <= 0."""
    if b == 0:
        return Interval(-math.inf, math.inf, level, FIELLER)
    end = c / (2 * b)
    return Interval(end, math.inf, level, FIELLER) if b > 0 else Interval(-math.inf, end, level, FIELLER)


def joint_critical(estimates: Sequence[Linear], df: float, draws: int, seed: int, level: float = LEVEL) -> float:
    """Return the critical value with which the intervals of all estimates hold together.

    It is the quantile of the largest |t| among draws from the joint distribution of the estimates, a multivariate t
    with their own correlations (T. Hothorn, F. Bretz and P. Westfall, Biometrical Journal 50, 2008, pages 346-363).
    Estimates that do not vary are left out; of a single one it is Student's t, and NaN of none.

    Args:
        df: degrees of freedom. draws: how many. seed: of their generator.
    """
    varying = [each for each in estimates if each.se > 0]
    if not varying:
        return math.nan
    if len(varying) == 1:
        return student(df, level)
    scaled: Floats = np.stack([each.influence / each.se for each in varying])
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((draws, len(varying))) * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    t = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(df, draws) / df)
    return max(float(np.quantile(t, level, method="higher")), student(df, level))
