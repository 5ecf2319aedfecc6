"""The comparison of two groups of independent documents, such as right and wrong answers of one model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.stats.intervals import LEVEL, Interval

METHOD = "Welch"


@dataclass(frozen=True)
class TwoGroups:
    """The comparison of two groups' means; the difference is a less b.

    Attributes:
        n_a, n_b: documents. mean_a, mean_b: their means. interval: of the difference. p: two-sided, not corrected.
    """

    n_a: int
    n_b: int
    mean_a: float
    mean_b: float
    difference: float
    interval: Interval
    p: float


def two_groups(a: NDArray[np.float64], b: NDArray[np.float64], level: float = LEVEL) -> TwoGroups:
    """Compare the means of two groups, one value a document, by Welch's t, which takes no equal variances for granted.

    (B. L. Welch, Biometrika 34, 1947, pages 28-35.) Without a spread in either group, or with fewer than two documents
    in one, nothing is known of chance: then p is 1 and the interval is withheld.

    Args:
        a, b: shape ``[documents]`` each.

    Raises:
        ValueError: a group is empty, or a value is not finite.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not (a.size and b.size and np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("two groups of finite values are needed")
    means = (float(a.mean()), float(b.mean()))
    interval, p = Interval.none("fewer than two documents in a group", METHOD, level), 1.0
    if min(a.size, b.size) > 1:
        interval = Interval.none("all values are alike", METHOD, level)
        if max(np.ptp(a), np.ptp(b)) > 1e-12 * max(np.abs(a).max(), np.abs(b).max()):
            tested = stats.ttest_ind(a, b, equal_var=False)
            ends = tested.confidence_interval(level)
            interval, p = Interval(float(ends.low), float(ends.high), level, METHOD), float(tested.pvalue)
    return TwoGroups(a.size, b.size, *means, means[0] - means[1], interval, p if math.isfinite(p) else 1.0)
