"""A value with its interval, and which interval each number of the curve gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmx_analysis.guided_curve.design import Cells, Design
from lmx_analysis.stats.intervals import Interval, wilson
from lmx_analysis.stats.joint import joint_critical, student
from lmx_analysis.stats.linear import TINY, Linear
from lmx_analysis.stats.ratios import fieller

WITHHELD = Interval.none("not determined")


@dataclass(frozen=True)
class Estimate:
    """A value, NaN where it is not determined, with its 95 % interval."""

    value: float
    interval: Interval = WITHHELD

    @property
    def low(self) -> float:
        """The interval's lower end; NaN where there is none."""
        return self.interval.low

    @property
    def high(self) -> float:
        """The interval's upper end; NaN where there is none."""
        return self.interval.high


def of(estimate: Linear, design: Design, critical: float | None = None) -> Estimate:
    """Return value ± t se, by Student's t unless a `critical` value is given; no interval where nothing varies."""
    if design.count < 2 or not estimate.se > 0:
        why = "fewer than two independent documents" if design.count < 2 else "all values are alike"
        return Estimate(estimate.value, Interval.none(why, "t"))
    half = (student(design.df(estimate)) if critical is None else critical) * estimate.se
    method = "t" if critical is None else "max |t|"
    return Estimate(estimate.value, Interval(estimate.value - half, estimate.value + half, method=method))


def of_share(estimate: Linear, design: Design) -> Estimate:
    """Return the interval of a share, within 0 to 1."""
    found = of(estimate, design)
    return replace(found, interval=replace(found.interval, low=max(found.low, 0.0), high=min(found.high, 1.0)))


def of_accuracy(estimate: Linear, cells: Cells, design: Design) -> Estimate:
    """Return the interval of one group's accuracy.

    A score's is Student's t over documents. A rate's is Wilson's: with one seed and independent documents as it stands,
    and where all answers are right or all are wrong with n = effective clusters. With several seeds or clusters it is
    Wilson's with the sample size that would give the same standard error, at most the number of answers, and the point
    of Student's t (N. Dean and M. Pagano, Journal of Survey Statistics and Methodology 3, 2015, pages 484-503): near 0
    and 1 a t interval holds the truth in 90 % of studies only.
    """
    value, answers = estimate.value, cells.correct.size
    if not design.rate or design.count < 2:
        return of(estimate, design)
    single = len(cells.correct) == 1 and not design.clustered and bool(np.isin(cells.correct, (0.0, 1.0)).all())
    if single or value in (0.0, 1.0):
        return Estimate(value, wilson(value * design.effective, design.effective))
    spread = value * (1 - value)
    size = spread / estimate.variance if estimate.se > 0 else math.inf
    size = min(size, answers)
    t2 = student(design.df(estimate)) ** 2
    middle, half = value + t2 / (2 * size), math.sqrt(t2 * spread / size + (t2 / (2 * size)) ** 2)
    ends = ((middle - half) / (1 + t2 / size), (middle + half) / (1 + t2 / size))
    return Estimate(value, Interval(*ends, method="Wilson, effective n"))


def ratio(numerator: Linear, denominator: Linear, design: Design, critical: float | None = None) -> Estimate:
    """Return numerator / denominator with Fieller's set; its value is NaN where the denominator is 0."""
    value = numerator.value / denominator.value if abs(denominator.value) > TINY else math.nan
    if design.count < 2:
        return Estimate(value, Interval.none("fewer than two independent documents"))
    if critical is None:
        of_ratio = numerator if math.isnan(value) else numerator - denominator * value
        critical = student(design.df(of_ratio))
    return Estimate(value, fieller(numerator, denominator, critical))


def simultaneous(estimates: Sequence[Linear], design: Design, draws: int, seed: int) -> float:
    """Return the critical value with which the intervals of all estimates hold together; NaN where none varies."""
    varying = [each for each in estimates if each.se > 0]
    if not varying or design.count < 2:
        return math.nan
    return joint_critical(varying, min(design.df(each) for each in varying), draws, seed)
