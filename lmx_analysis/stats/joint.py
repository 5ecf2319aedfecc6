"""Critical values for intervals of estimates with influences, of one and of many at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from lmx_analysis.stats.intervals import LEVEL
from lmx_analysis.stats.linear import Floats, Linear


def student(df: float, level: float = LEVEL) -> float:
    """Return the two-sided point of Student's t, e.g. 1.96 for many degrees of freedom and 95 %."""
    return float(stats.t.ppf((1 + level) / 2, df))


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
