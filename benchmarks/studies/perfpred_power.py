"""How often tests show that a predictor of a known R2 beats the mean, and how often they show it of one of R2 = 0.

    python benchmarks/studies/perfpred_power.py [--draws 2000] [--r2 0.2] [--tasks 12 82]

Scores (normal, or exponential as a skewed case) and predictions are made so that the population's R2 is the given one;
the mean is known. ``verdict`` is the test of `lmx perfpred aggregate`; ``t`` and ``one-sided t`` are paired t-tests of
squared errors, ``bootstrap`` is whether the percentile interval of the RMSEs' difference excludes 0.
The predictor of R2 = 0 differs from the mean, and what it gains on average it loses by its noise.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.performance_prediction import power
from lmx_analysis.performance_prediction.power import Floats

RESAMPLES = 1_000
USELESS = 0.1


def errors(r2: float, shape: tuple[int, int], skewed: bool, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return squared errors of the mean and of a predictor, shape ``[draws, tasks]``."""
    scores = rng.exponential(size=shape) - 1 if skewed else rng.standard_normal(shape)
    share = r2 if r2 > 0 else USELESS
    # of variance `share` and calibrated; without any R2 twice the share, so that what it gains it loses by its noise
    variance = share * (1 - share) if r2 > 0 else 2 * share - share**2
    predicted = share * scores + math.sqrt(variance) * rng.standard_normal(shape)
    return scores**2, (scores - predicted) ** 2


def by_one_sided_t(of_mean: Floats, of_predictor: Floats) -> NDArray[np.bool_]:
    """Return where a one-sided paired t-test at 5 % shows the smaller errors."""
    gained, tasks = of_mean - of_predictor, of_mean.shape[1]
    t = gained.mean(axis=1) / (gained.std(axis=1, ddof=1) / math.sqrt(tasks))
    return np.asarray(t > stats.t.ppf(0.95, tasks - 1))


def by_bootstrap(of_mean: Floats, of_predictor: Floats) -> NDArray[np.bool_]:
    """Return where the 95 % percentile interval of the RMSEs' difference, tasks drawn anew, excludes 0."""
    tasks = of_mean.shape[1]
    weights = np.random.default_rng(1).multinomial(tasks, [1 / tasks] * tasks, size=RESAMPLES) / tasks
    gained = np.sqrt(weights @ of_mean.T) - np.sqrt(weights @ of_predictor.T)
    return np.asarray(np.quantile(gained, 0.025, axis=0) > 0)


TESTS = {"verdict": power.by_verdict, "t": power.by_t, "one-sided t": by_one_sided_t, "bootstrap": by_bootstrap}


def main() -> None:
    """Print one row for each number of tasks, shape of scores and R2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--r2", type=float, default=0.2)
    parser.add_argument("--tasks", type=int, nargs="+", default=[12, 82])
    options = parser.parse_args()
    print(f"{'tasks':>5} {'scores':12} {'R2':>4} " + " ".join(f"{name:>12}" for name in TESTS))
    for tasks in options.tasks:
        for skewed in (False, True):
            for r2 in (options.r2, 0.0):
                made = errors(r2, (options.draws, tasks), skewed, np.random.default_rng(0))
                shares = " ".join(f"{test(*made).mean():12.3f}" for test in TESTS.values())
                print(f"{tasks:5} {'exponential' if skewed else 'normal':12} {r2:4.1f} {shares}", flush=True)


if __name__ == "__main__":
    main()
