"""What this many tasks can show at all, and how many pilot instances are worth as much as a predictor."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lmx_analysis import stats
from lmx_analysis.stats.intervals import t_critical, t_statistics

POWER, ALPHA = 0.8, 0.05
DRAWS = 4_000
FEW, FEW_DRAWS = 30, 1_000
"""Tasks below which the verdict's own test is simulated, and how often; from there on it and the t-test agree."""
Floats = NDArray[np.float64]


@lru_cache(maxsize=64)
def power(r2: float, tasks: int, draws: int = DRAWS, seed: int = 1234) -> float:
    """Return how often a predictor of this R2 is shown to beat the mean on `tasks` independent tasks.

    Simulated: scores and predictions are jointly normal, the mean is known, and the differences of squared errors get
    the verdict's test, two-sided at 5 % (`stats.compare_paired`; from 30 tasks on a t-test, which costs less). What
    is significant against the predictor does not count. Other tests have other power, above all on few tasks:
    `benchmarks/studies/perfpred_power.py`. Scores in bulk at 0 or 100 are not normal; take it as a guide.
    """
    if r2 <= 0:
        return 0.0
    rng = np.random.default_rng(seed)
    draws = min(draws, FEW_DRAWS) if tasks < FEW else draws
    found = 0
    step = max(1, 2_000_000 // tasks)
    for start in range(0, draws, step):
        shape = (min(step, draws - start), tasks)
        rest = math.sqrt(1 - r2) * rng.standard_normal(shape)
        of_mean, of_predictor = (math.sqrt(r2) * rng.standard_normal(shape) + rest) ** 2, rest**2
        shown = by_verdict if tasks < FEW else by_t
        found += int(shown(of_mean, of_predictor).sum())
    return found / draws


def by_verdict(of_mean: Floats, of_predictor: Floats) -> NDArray[np.bool_]:
    """Return where the verdict's test shows the smaller errors, given squared errors ``[draws, tasks]`` of both."""
    found = stats.compare_columns(of_mean.T, of_predictor.T, rate=[False] * len(of_mean), resamples=999)
    return np.array([each.p < ALPHA and each.difference < 0 for each in found])


def by_t(of_mean: Floats, of_predictor: Floats) -> NDArray[np.bool_]:
    """Return the same for a two-sided paired t-test."""
    return np.asarray(t_statistics(of_mean - of_predictor) > t_critical(of_mean.shape[1] - 1, 1 - ALPHA))


@lru_cache(maxsize=64)
def smallest_r2(tasks: int) -> float:
    """Return the least R2 that is shown with a power of 80 % on so many independent tasks; NaN below 3 tasks.

    Found by halving, to 0.005.
    """
    if tasks < 3:
        return math.nan
    low, high = 0.0, 0.999
    if power(high, tasks) < POWER:
        return math.nan
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, tasks) >= POWER else (middle, high)
    return high


def pilots_that_beat(squared_error: float, instance_variance: float, between: float | None = None) -> float:
    """Return how many instances of a task predict its score better than a predictor does; infinite if none can.

    Args:
        squared_error: of the predictor, against scores without noise. instance_variance: of one instance's score within
            a task, mean over tasks.
        between: variance of noise-free scores between tasks. With it the pilots' mean is drawn towards that of all
            tasks as well as can be, with error B V / (k B + V) for B = `between` and V = `instance_variance`; without
            it the plain mean of k instances is taken, with error V / k.
    """
    if math.isnan(squared_error) or math.isnan(instance_variance):
        return math.nan
    if squared_error <= 0:
        return math.inf
    needed = instance_variance / squared_error
    if between is not None:
        needed = needed - instance_variance / between if between > 0 else 0.0
    return max(1, math.floor(needed) + 1)
