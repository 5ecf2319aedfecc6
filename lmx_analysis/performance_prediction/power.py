"""What this many tasks can show at all, and how many pilot instances are worth as much as a predictor."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import stats

POWER, ALPHA = 0.8, 0.05
DRAWS = 4_000


@lru_cache(maxsize=64)
def power(r2: float, tasks: int, draws: int = DRAWS, seed: int = 1234) -> float:
    """Return how often a predictor of this R2 is shown to beat the mean on `tasks` independent tasks.

    Simulated: scores and predictions are jointly normal, and the differences of squared errors get a two-sided t-test
    at 5 %. Scores in bulk at 0 or 100 are not normal; take it as a guide.
    """
    if r2 <= 0:
        return 0.0
    rng = np.random.default_rng(seed)
    found = 0
    step = max(1, 2_000_000 // tasks)
    for start in range(0, draws, step):
        shape = (min(step, draws - start), tasks)
        rest = math.sqrt(1 - r2) * rng.standard_normal(shape)
        gained = (math.sqrt(r2) * rng.standard_normal(shape) + rest) ** 2 - rest**2
        t = gained.mean(axis=1) / (gained.std(axis=1, ddof=1) / math.sqrt(tasks))
        found += int((t > stats.t.ppf(1 - ALPHA / 2, tasks - 1)).sum())
    return found / draws


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
