"""What missing values leave of a comparison: whether they differ, and what the difference could be with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.stats.intervals import Interval
from lmx_analysis.stats.kinds import Metric
from lmx_analysis.stats.paired import compare_columns

Floats = NDArray[np.float64]
ALPHA = 0.05
NOTHING = Interval.none("no value is missing")


@dataclass(frozen=True)
class Missing:
    """Documents without a value, and what follows.

    Attributes:
        reference, run: documents that only this one lacks. both: that both lack. infinite: with an infinite value in
            one or both; they count as lacking it.
        p: two-sided, of both lacking values alike; 1 where none is missing.
        low, high: range in which the missing values were taken to lie: the metric's, else that of the values seen.
        worst: holds the intervals of the difference for the missing values at either end of that range, over all
            documents that at least one answered; withheld where none is missing.
        withheld: why no verdict may be given; empty where it may.
    """

    reference: int = 0
    run: int = 0
    both: int = 0
    infinite: int = 0
    p: float = 1.0
    low: float = math.nan
    high: float = math.nan
    worst: Interval = NOTHING
    withheld: str = ""

    @property
    def dropped(self) -> int:
        """Pairs without two finite values."""
        return self.reference + self.run + self.both


NONE_MISSING = Missing()


def judge_missing(
    reference: Floats, run: Floats, clusters: NDArray[np.intp] | None, metric: Metric, exact: bool,
    resamples: int = 10_000, seed: int = 1234,
) -> Missing:  # fmt: skip
    """Judge the missing values of two runs, shape ``[documents]`` each, NaN (or infinite) where there is none.

    A text without a value is seldom a text like the others: to compare what both answered favours a run that answers
    the easy ones. So a verdict stands only if it would be the same whatever the values within the range were
    (worst-case bounds: C. F. Manski, American Economic Review 80, 1990); and where the range is but that of the
    values seen, only if the runs do not differ in how many are missing. Infinite values have no mean: no verdict.

    Args:
        exact: whether the metric gets McNemar's test.
    """
    infinite = int((np.isinf(reference) | np.isinf(run)).sum())
    lacks, lost = ~np.isfinite(reference), ~np.isfinite(run)
    both, only, other = int((lacks & lost).sum()), int((lacks & ~lost).sum()), int((lost & ~lacks).sum())
    if not (only or other):
        why = "values are infinite" if infinite else ""
        return Missing(both=both, infinite=infinite, withheld=why)
    counted = np.stack([lacks, lost]).astype(np.float64)
    p = compare_columns(
        counted[0][:, None], counted[1][:, None], clusters, rate=[True], resamples=resamples, seed=seed
    )[0].p  # fmt: skip
    seen = np.concatenate([reference[~lacks], run[~lost]])
    low = metric.low if math.isfinite(metric.low) else float(seen.min())
    high = metric.high if math.isfinite(metric.high) else float(seen.max())
    ends = []
    for of_reference, of_run in ((high, low), (low, high)):
        a, b = np.where(lacks, of_reference, reference), np.where(lost, of_run, run)
        a[lacks & lost] = b[lacks & lost] = np.nan
        ends += compare_columns(
            a[:, None],
            b[:, None],
            clusters,
            rate=[exact],
            share=[metric.kind == "rate"],
            resamples=resamples,
            seed=seed,
        )
    same = all(end.p < ALPHA for end in ends) and ends[0].difference * ends[1].difference > 0
    why = ""
    if infinite:
        why = "values are infinite"
    elif not same:
        why = "the missing values could change it"
    elif p < ALPHA and not metric.bounded:
        why = "the runs differ in how many values are missing, and their range is not known"
    worst = ends[0].interval.hull(ends[1].interval)
    return Missing(only, other, both, infinite, p, low, high, worst, why)
