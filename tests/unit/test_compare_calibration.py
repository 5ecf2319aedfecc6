"""How often `lmx compare` finds a difference, on simulated runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats


@pytest.fixture
def calibration(monkeypatch):
    """The benchmark's simulation."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import calibration_many

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
