"""Measures on planted truth: R2, its correction, the verdict where there is nothing, coverage, power, pilots."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lmx_analysis.performance_prediction import conformal, power
from lmx_analysis.performance_prediction.aggregate import verdict
from lmx_analysis.performance_prediction.measures import corrected, judge


def test_measures_by_hand() -> None:
    true, predicted = np.array([0.0, 2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0, 6.0])
    found = judge(true, predicted, np.full(4, 3.0), np.full(4, 0.25), list("abcd"), [0, 1, 2, 3])
    assert found.rmse == pytest.approx(math.sqrt(2 / 4))
    assert found.rmse_mean == pytest.approx(math.sqrt(20 / 4))
    assert found.mae == 0.5
    assert found.r2 == pytest.approx(1 - 2 / 20)
    assert found.r2_corrected == pytest.approx(1 - (2 - 1) / (20 - 1))
    assert found.spearman == pytest.approx(1.0)
    assert found.noise == 0.5
    assert math.isnan(corrected(2, 20, 20))


def test_r2_corrected_for_noise_is_that_of_noise_free_scores() -> None:
    rng = np.random.default_rng(1)
    found, raw = [], []
    for _ in range(100):
        signal, rest = rng.normal(size=(2, 400))
        clean = math.sqrt(0.3) * signal + math.sqrt(0.7) * rest
        true = clean + rng.normal(size=400) * math.sqrt(0.5)
        e, m = ((math.sqrt(0.3) * signal - true) ** 2).sum(), (true**2).sum()
        found.append(corrected(e, m, 400 * 0.5))
        raw.append(1 - e / m)
    assert np.mean(found) == pytest.approx(0.3, abs=0.02)
    assert np.mean(raw) == pytest.approx(0.2, abs=0.02)


def false_alarms(repeats: int, tasks: int) -> int:
    """Return how often the best ridge-like predictor "beats the mean" out of fold where there is no signal."""
    alarms = 0
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        features, scores = rng.normal(size=(tasks, 3)), rng.exponential(size=tasks)  # skewed, as scores are
        predicted, mean = np.zeros(tasks), np.zeros(tasks)
        for fold in range(10):
            test = np.arange(tasks) % 10 == fold
            x, y = features[~test], scores[~test]
            slope = np.linalg.solve(x.T @ x + 30 * np.eye(3), x.T @ (y - y.mean()))
            predicted[test], mean[test] = y.mean() + features[test] @ slope, y.mean()
        names = list(range(tasks))
        found = judge(scores, predicted, mean, np.zeros(tasks), names, names, resamples=500)
        alarms += verdict(found, found.p) == "beats the mean"
    return alarms


def test_no_signal_does_not_beat_the_mean() -> None:
    assert false_alarms(20, 82) <= 2


@pytest.mark.full
def test_no_signal_does_not_beat_the_mean_in_200_repeats() -> None:
    assert false_alarms(200, 82) <= 10


def covered(tasks: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    true, predicted = rng.standard_t(4, size=(2, tasks)) * 10 + 50
    folds = rng.permutation(tasks) % 10
    found = conformal.intervals(true, predicted, folds.tolist(), -math.inf, math.inf)
    return conformal.coverage(true, found)[0]


def test_intervals_hold_their_level() -> None:
    assert covered(2_000, 1) == pytest.approx(0.9, abs=0.015)
    assert np.mean([covered(82, seed) for seed in range(200)]) == pytest.approx(0.9, abs=0.04)


def test_intervals_of_new_tasks_hold_their_level() -> None:
    """Tasks that took no part at all: calibrated on 81, one new one each time, 2,000 times."""
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(2_000):
        true = rng.standard_t(4, size=82)
        found = conformal.intervals(true, np.zeros(82), [0] * 81 + [1], -math.inf, math.inf)[-1]
        inside += found[0] <= true[-1] <= found[1]
    assert inside / 2_000 == pytest.approx(0.9, abs=0.02)


def test_intervals_stay_within_the_scores_and_too_few_tasks_give_them_all() -> None:
    true = np.array([0.0, 100.0, 50.0, 100.0, 0.0, 20.0])
    found = conformal.intervals(true, np.full(6, 50.0), [0, 0, 0, 1, 1, 1], 0.0, 100.0)
    assert found.tolist() == [[0.0, 100.0]] * 6


def test_power_is_that_of_the_test() -> None:
    assert power.power(0.2, 82) == pytest.approx(0.57, abs=0.03)
    assert power.power(0.0, 82) == 0  # the mean itself
    assert power.power(0.2, 12) == pytest.approx(0.10, abs=0.03)  # the verdict's own test, by far not a one-sided t
    assert power.power(0.99, 5) == 0  # five sign flips reach no p below 0.05
    least = power.smallest_r2(82)
    assert power.power(least, 82) >= 0.8 > power.power(least - 0.01, 82)
    assert math.isnan(power.smallest_r2(2))


def test_from_thirty_tasks_on_the_t_test_has_the_power_of_the_verdict() -> None:
    rng = np.random.default_rng(3)
    rest = math.sqrt(0.6) * rng.standard_normal((400, power.FEW))
    of_mean = (math.sqrt(0.4) * rng.standard_normal(rest.shape) + rest) ** 2
    assert power.by_verdict(of_mean, rest**2).mean() == pytest.approx(power.by_t(of_mean, rest**2).mean(), abs=0.04)


def test_pilots_that_beat_a_predictor() -> None:
    # instances of variance 900: the mean of 9 is off by 100, of 10 by less
    assert power.pilots_that_beat(100.0, 900.0) == 10
    # scores of variance 300, drawn to the mean: k instances are off by 300 * 900 / (300 k + 900), 7 by 90, 6 by 100
    assert power.pilots_that_beat(100.0, 900.0, 300.0) == 7
    assert power.pilots_that_beat(0.0, 900.0) == math.inf
    assert math.isnan(power.pilots_that_beat(100.0, math.nan))
