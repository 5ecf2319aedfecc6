"""How often `lmx compare` finds a difference, on simulated runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def calibration():
    """The benchmark's simulation."""
    from benchmarks.studies import calibration_many

    return calibration_many


def test_false_alarms_stay_below_five_percent(tmp_path, calibration):
    """100 comparisons without a difference. At a true 5 %, more than 13 alarms have a probability below 0.001."""
    assert stats.binom.sf(13, 100, 0.05) < 0.001
    found = [calibration.simulate(tmp_path, seed, resamples=999) for seed in range(100)]
    assert calibration.shares(found)["any, Holm"] <= 13
    clustered = {"by_domain": 1.0, "clustered": True, "resamples": 999}
    found = [calibration.simulate(tmp_path, seed, **clustered) for seed in range(100)]
    assert calibration.shares(found)["any, Holm"] <= 13


def test_a_known_difference_is_found(tmp_path, calibration):
    """A gain of one standard deviation: the benchmark finds it in over 90 %; here at least 32 of 40 times."""
    found = [calibration.simulate(tmp_path, seed, gain=1.0, resamples=999) for seed in range(40)]
    assert calibration.shares(found)["any, Holm"] >= 80


def test_the_table_of_calibration(calibration):
    """Rows are what their simulation says: ties no longer hide a difference that all documents show."""
    from benchmarks.calibration import line
    from benchmarks.studies import calibration_paired
    from benchmarks.studies.calibration_rows import Row

    before, after = calibration_paired.rejected(lambda rng, n: np.r_[np.zeros(n - 1), -2.0], 24, None, 5.0, 20)
    assert (before, after) == (0.0, 1.0)
    _, alarms = calibration_paired.rejected(calibration_paired.ties, 50, None, 0.0, 200)
    assert alarms <= 0.1  # at a true 5 %, more than 20 of 200 alarms have a probability below 0.002
    row = Row("group", "name", 0.05, 0.2, 0.04, 100, audited=True)
    assert line(row).split() == ["name", "0.050", "[0.200]", "0.040", "0.020", "100"]


@pytest.mark.full
def test_seeds_and_max_t_bring_what_the_table_says(calibration):
    _, _, by_holm, by_max_t = calibration.dependent(60, 10, 0.95, 0.45)
    assert by_max_t > by_holm
    found = {row.name: row.after for row in calibration.seeds(True) if row.nominal is None}
    assert found["5 seeds, 60 documents"] > found["1 seed, 60 documents"] + 0.2


def test_answering_the_easy_ones_is_not_better(calibration):
    for row in calibration.missing_values(True):
        assert row.before > 0.5
        assert row.after == 0.0
