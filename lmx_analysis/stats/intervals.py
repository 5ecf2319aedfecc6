"""One type for every interval, and the intervals that need no resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

Floats = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A confidence interval, ends included, or the reason why there is none.

    Attributes:
        low, high: the ends, in the estimate's unit; infinite where one side is not bounded, NaN where withheld.
        level: the confidence, 0.95 unless said otherwise. method: what made it, as tables print it.
        withheld: why there is no interval, in words for the reader; empty where there is one.
        outside: whether it is the values up to `low` and from `high` on, as the set of a ratio can be.
    """

    low: float
    high: float
    level: float = LEVEL
    method: str = ""
    withheld: str = ""
    outside: bool = False

    @classmethod
    def none(cls, why: str, method: str = "", level: float = LEVEL) -> Interval:
        """Return an interval that is withheld, with the reason."""
        return cls(math.nan, math.nan, level, method, why)

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def excludes(self, value: float) -> bool:
        """Whether the interval is known and does not hold `value`."""
        held = value <= self.low or value >= self.high if self.outside else self.low <= value <= self.high
        return self.known and not held

    @property
    def bounded(self) -> bool:
        """Whether it is an interval with two finite ends."""
        return self.known and not self.outside and math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def shape(self) -> str:
        """Return ``bounded``, ``half`` (one end is infinite), ``outside``, ``all`` (every value) or ``none``."""
        if not self.known or self.outside:
            return "outside" if self.outside else "none"
        return ("bounded", "half", "all")[math.isinf(self.low) + math.isinf(self.high)]

    def hull(self, other: Interval) -> Interval:
        """Return the shortest interval that holds both; withheld if one of them is."""
        if not (self.known and other.known):
            return self if not self.known else other
        return Interval(min(self.low, other.low), max(self.high, other.high), self.level, self.method)


def wilson(successes: float, n: float, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval of a proportion (E. B. Wilson, JASA 22, 1927, pages 209-212).

    For 0/1 values of independent documents, one text each. It holds its level from a handful of documents on and has a
    width where all answers are alike.
    """
    if n <= 0:
        return Interval.none("no documents", "Wilson", level)
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return Interval(float(low), float(high), level, "Wilson")


def mean_t(values: Floats, clusters: NDArray[np.intp] | None = None, level: float = LEVEL) -> Interval:
    """Return Student's t interval of a mean, values of shape ``[documents]``.

    With `clusters` (numbers from 0) the standard error is that of cluster sums and t has clusters - 1 degrees of
    freedom (Cameron, Gelbach and Miller, Review of Economics and Statistics 90, 2008). Withheld with fewer than two
    clusters and where all values are alike, for they say nothing of the spread.
    """
    values = np.asarray(values, dtype=np.float64)
    se, count = standard_error(values, clusters)
    if count < 2:
        return Interval.none("fewer than two independent documents", "t", level)
    if math.isnan(se):
        return Interval.none("all values are alike", "t", level)
    half = t_critical(count - 1, level) * se
    mean = float(values.mean())
    return Interval(mean - half, mean + half, level, "t")


def t_critical(df: float, level: float = LEVEL) -> float:
    """Return the quantile of Student's t with `df` degrees of freedom that a two-sided interval takes."""
    return float(stats.t.ppf((1 + level) / 2, df))


def t_statistics(values: Floats) -> Floats:
    """Return Student's t of the mean of each row, ``[rows, documents]`` to ``[rows]``; documents are independent."""
    with np.errstate(invalid="ignore", divide="ignore"):  # rows of equal values
        return np.asarray(values.mean(axis=1) / (values.std(axis=1, ddof=1) / math.sqrt(values.shape[1])))


def standard_error(values: Floats, clusters: NDArray[np.intp] | None = None) -> tuple[float, int]:
    """Return the standard error of a mean over documents, and the number of independent units.

    The standard error is NaN for fewer than two units and where they are all alike: a few values that agree do not
    show that nothing varies.
    """
    values = np.asarray(values, dtype=np.float64)
    n = values.size
    if not n:
        return math.nan, 0
    residual = values - values.mean()
    if clusters is not None:
        residual = np.bincount(clusters, weights=residual).astype(np.float64)
    count = residual.size
    spread = math.sqrt(float((residual**2).sum()))
    if count < 2 or spread <= 1e-12 * max(float(np.abs(values).max()), 1e-300) * n:
        return math.nan, count
    return math.sqrt(count / (count - 1)) * spread / n, count


def newcombe(both: int, gained: int, lost: int, neither: int, level: float = LEVEL) -> Interval:
    """Return the interval of a difference of paired proportions, (gained - lost) / n.

    Newcombe's square-and-add interval: Wilson intervals of the two proportions, joined with their correlation
    (R. G. Newcombe, Statistics in Medicine 17, 1998, pages 2635-2650, method 10; among those that Fagerland, Lydersen
    and Laake recommend, Statistics in Medicine 33, 2014, pages 2850-2875).
    """
    n = both + gained + lost + neither
    if n == 0:
        return Interval.none("no documents", "Newcombe", level)
    run, reference = (both + gained) / n, (both + lost) / n
    of_run, of_reference = wilson(both + gained, n, level), wilson(both + lost, n, level)
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    cross = both * neither - gained * lost
    # Newcombe's continuity correction of phi, for positive association only
    corrected = max(cross - n / 2, 0.0) if cross > 0 else cross
    phi = corrected / math.sqrt(margins) if margins else 0.0
    run_down, run_up = run - of_run.low, of_run.high - run
    reference_down, reference_up = reference - of_reference.low, of_reference.high - reference
    below = run_down**2 - 2 * phi * run_down * reference_up + reference_up**2
    above = run_up**2 - 2 * phi * run_up * reference_down + reference_down**2
    d = run - reference
    return Interval(d - math.sqrt(max(below, 0.0)), d + math.sqrt(max(above, 0.0)), level, "Newcombe")
