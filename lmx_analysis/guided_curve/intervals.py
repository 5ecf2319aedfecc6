"""Intervals of estimates: alone, many at once, of a share of right answers, and of a ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lmx_analysis.guided_curve.linear import TINY, Cells, Design, Floats, Linear

LEVEL = 0.95
Shape = Literal["bounded", "outside", "all", "none"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        value: NaN where it is not determined.
        low, high: the interval's ends; NaN where there is none.
        shape: ``bounded``: the values from low to high. ``outside``: those up to low and those from high on.
            ``all``: every value; low and high are infinite. ``none``: no interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    shape: Shape = "none"

    def holds(self, value: float) -> bool:
        """Whether the interval holds a value; False where there is none."""
        if self.shape == "outside":
            return value <= self.low or value >= self.high
        return self.low <= value <= self.high

    @property
    def bounded(self) -> bool:
        """Whether there is an interval with two ends."""
        return self.shape == "bounded"


def bounded(value: float, low: float, high: float) -> Estimate:
    """Return an estimate with an ordinary interval; NaN ends mean none."""
    return Estimate(value, low, high, "none" if math.isnan(low) else "bounded")


def interval(estimate: Linear, design: Design, critical: float | None = None) -> Estimate:
    """Return value ± t se, by Student's t unless a `critical` value is given; no interval where nothing varies."""
    if design.count < 2 or not estimate.se > 0:
        return Estimate(estimate.value)
    half = (student(design.df(estimate)) if critical is None else critical) * estimate.se
    return bounded(estimate.value, estimate.value - half, estimate.value + half)


def student(df: float) -> float:
    """Return the two-sided 95 % point of Student's t."""
    return float(stats.t.ppf((1 + LEVEL) / 2, df))


def of_accuracy(estimate: Linear, cells: Cells, design: Design) -> Estimate:
    """Return the interval of one group's accuracy.

    Wilson's for a rate with one seed and independent documents, and where all answers are right or all wrong (then with
    n = clusters); else by Student's t over documents, within 0 to 1 for a rate.
    """
    value = estimate.value
    if design.rate and design.count > 1:
        zero_one = bool(np.isin(cells.correct, (0.0, 1.0)).all())
        single = len(cells.correct) == 1 and not design.clustered and not design.seeds and zero_one
        if single or value in (0.0, 1.0):
            return bounded(value, *proportion_confint(value * design.count, design.count, 1 - LEVEL, method="wilson"))
        found = interval(estimate, design)
        return bounded(value, max(found.low, 0.0), min(found.high, 1.0)) if found.bounded else found
    return interval(estimate, design)


def of_share(estimate: Linear, design: Design) -> Estimate:
    """Return the interval of a share, within 0 to 1."""
    found = interval(estimate, design)
    return bounded(found.value, max(found.low, 0.0), min(found.high, 1.0)) if found.bounded else found


def ratio(numerator: Linear, denominator: Linear, design: Design, critical: float | None = None) -> Estimate:
    """Return numerator / denominator with Fieller's set: every theta at which numerator - theta denominator may be 0.

    Each theta is tested by Student's t (E. C. Fieller, Journal of the Royal Statistical Society B 16, 1954, pages
    175-185), so the set holds the true ratio in 95 % of studies however near the denominator is to 0. What this costs:
    where the denominator may be 0 the set has no bounds, and `shape` says which kind it is.

    Returns:
        NaN as value where the denominator is 0, and no interval where nothing varies.
    """
    value = numerator.value / denominator.value if abs(denominator.value) > TINY else math.nan
    if design.count < 2 or not (numerator.se > 0 or denominator.se > 0):
        return Estimate(value)
    of_ratio = numerator if math.isnan(value) else numerator - denominator * value
    t2 = (student(design.df(of_ratio)) if critical is None else critical) ** 2
    covariance = float(numerator.influence @ denominator.influence)
    # the set is a theta^2 - 2 b theta + c <= 0
    a = denominator.value**2 - t2 * denominator.variance
    b = numerator.value * denominator.value - t2 * covariance
    c = numerator.value**2 - t2 * numerator.variance
    root = b * b - a * c
    if abs(a) <= TINY * max(denominator.value**2, t2 * denominator.variance):
        a = -TINY if root > 0 else a
    if a > 0:
        half = math.sqrt(max(root, 0.0))
        return Estimate(value, (b - half) / a, (b + half) / a, "bounded")
    if a < 0 and root > 0:
        ends = sorted(((b - math.sqrt(root)) / a, (b + math.sqrt(root)) / a))
        return Estimate(value, ends[0], ends[1], "outside")
    return Estimate(value, -math.inf, math.inf, "all")


def simultaneous(estimates: Sequence[Linear], design: Design, draws: int, seed: int) -> float:
    """Return the critical value with which the intervals of all estimates hold together in 95 % of studies.

    It is the 95 % point of the largest \\|t\\| among draws from the joint distribution of the estimates, a multivariate t
    with their own correlations (T. Hothorn, F. Bretz and P. Westfall, Biometrical Journal 50, 2008, pages 346-363).
    Estimates that do not vary are left out; of a single one it is Student's t.

    Args:
        draws: how many. seed: of the generator.
    """
    varying = [each for each in estimates if each.se > 0]
    if not varying:
        return math.nan
    df = min(design.df(each) for each in varying)
    if len(varying) == 1 or design.count < 2:
        return student(df)
    scaled: Floats = np.stack([each.influence / each.se for each in varying])
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((draws, len(varying))) * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    t = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(df, draws) / df)
    return max(float(np.quantile(t, LEVEL, method="higher")), student(df))
