"""The room of statistics: intervals, the cluster bootstrap, corrections, kinds of metrics, missing values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lmx_analysis.stats import (
    Metric,
    benjamini_hochberg,
    cluster_bootstrap,
    cluster_sums,
    effective_clusters,
    flip_statistics,
    holm,
    judge_missing,
    max_t,
    mean_t,
    metric_of,
    numbered,
    percentile,
    simultaneous,
    standard_error,
    wilson,
)
from lmx_analysis.stats import bootstrap as bootstrap_module
from lmx_analysis.stats.intervals import t_critical, t_statistics
from lmx_files.errors import UserError


def test_holm_and_benjamini_hochberg_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([]) == benjamini_hochberg([]) == max_t([], np.empty((5, 0))) == []


def test_holm_and_benjamini_hochberg_equal_statsmodels():
    rng = np.random.default_rng(1)
    for n in (1, 5, 40):
        p = np.round(rng.random(n) ** 3, 2)  # with ties
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
        assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_max_t_of_equal_tests_corrects_nothing_and_of_independent_ones_as_holm():
    rng = np.random.default_rng(1)
    x = rng.normal(0.3, size=(60, 1))
    t, null = flip_statistics(np.repeat(x, 8, axis=1), 4000, 1)
    (alone,) = max_t(t[:1], null[:, :1])
    assert max_t(t, null) == pytest.approx([alone] * 8)
    y = rng.normal(0.25, size=(60, 6))
    t, null = flip_statistics(y, 20_000, 2)
    p = [(1 + (null[:, i] >= t[i] * (1 - 1e-6)).sum()) / 20_001 for i in range(6)]
    assert max_t(t, null) == pytest.approx(holm(p), abs=0.03)


def test_max_t_by_hand():
    """Two tests, four draws: the larger is compared with the largest of both, the smaller with its own only."""
    null = np.array([[1.0, 3.5], [2.0, 0.5], [0.5, 1.5], [3.2, 0.1]])
    assert max_t([3.0, 1.0], null) == pytest.approx([3 / 5, 3 / 5])
    assert max_t([4.0, 1.0], null) == pytest.approx([1 / 5, 3 / 5])


def test_max_t_never_falls_below_a_tests_own_p():
    rng = np.random.default_rng(3)
    t, null = flip_statistics(rng.normal(0.4, size=(40, 3)), 999, 1)
    careful = [0.04, 0.2, 0.5]
    assert all(q >= p for q, p in zip(max_t(t, null, careful), careful, strict=True))
    assert max_t(t[:1], null[:, :1], [0.0078]) == [0.0078]


def test_wilson_and_t_equal_scipy():
    expected = stats.binomtest(7, 20).proportion_ci(method="wilson")
    found = wilson(7, 20)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    x = np.random.default_rng(1).normal(size=12)
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    found = mean_t(x)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert mean_t(np.repeat(x, 3), np.repeat(np.arange(12), 3)).low == pytest.approx(found.low)
    assert wilson(0, 0).withheld == "no documents"


@pytest.mark.parametrize(("values", "units"), [([1.0, 1.0, 1.0], 3), ([0.3], 1), ([], 0), ([0.1] * 7, 7)])
def test_values_that_are_alike_have_no_standard_error(values, units):
    error, count = standard_error(np.array(values))
    assert math.isnan(error)
    assert count == units
    assert not mean_t(np.array(values)).known


def test_standard_error_equals_scipy():
    x = np.random.default_rng(1).normal(size=12)
    assert standard_error(x)[0] == pytest.approx(stats.sem(x))


def test_the_bootstrap_takes_any_statistic_and_draws_clusters_whole(monkeypatch):
    rng = np.random.default_rng(1)
    values, labels = rng.normal(size=12), np.repeat(np.arange(4), 3)

    def mean(weights):
        assert (weights.reshape(-1, 4, 3) == weights.reshape(-1, 4, 3)[:, :, :1]).all()
        assert (weights.sum(axis=1) == 12).all()
        return weights @ values / weights.sum(axis=1)

    whole = cluster_bootstrap(mean, labels, 500, 3)
    assert whole.shape == (501,)
    assert whole[0] == pytest.approx(values.mean())
    monkeypatch.setattr(bootstrap_module, "CHUNK", 480)
    # a piece draws what the whole drew, for draws come one resample after the other
    assert cluster_bootstrap(mean, labels, 500, 3)[1:] == pytest.approx(whole[1:])
    ends = percentile(whole)
    assert ends.low < values.mean() < ends.high
    both = cluster_bootstrap(lambda w: np.stack([mean(w), 2 * mean(w)], axis=1), labels, 500, 3)
    assert both.shape == (501, 2)


def test_intervals_of_draws_that_tell_nothing_are_withheld():
    assert percentile(np.full(100, 0.5)).withheld == "all values are alike"
    assert percentile(np.r_[1.0, math.nan, 2.0]).withheld == "not defined in some resamples"


def test_simultaneous_intervals_hold_together():
    """Of ten estimates without an effect, all intervals hold 0 in about 95 % of studies; single ones in 60 %."""
    rng = np.random.default_rng(5)
    joint = alone = 0
    for study in range(150):
        x = rng.normal(size=(80, 10))
        draws = cluster_bootstrap(lambda w, x=x: w @ x / 80, np.arange(80), 300, study)
        joint += not any(each.excludes(0.0) for each in simultaneous(draws))
        alone += not any(percentile(draws[:, i]).excludes(0.0) for i in range(10))
    assert joint >= 131  # at a true 95 % fewer have a probability of 0.0002
    assert alone <= 110
    draws[:, 3] = 1.0
    assert simultaneous(draws)[3].withheld


def test_clusters():
    labels = numbered(["b", "a", "b", "c"])
    assert labels.tolist() == [0, 1, 0, 2]
    assert cluster_sums(np.array([1.0, 2, 3, 4]), labels).tolist() == [4, 2, 4]
    assert effective_clusters(np.array([5.0, 5, 5])) == pytest.approx(3)
    assert effective_clusters(np.array([4.0] * 24 + [96])) == pytest.approx(192**2 / (24 * 16 + 96**2))


def test_kinds_of_metrics():
    assert metric_of(None, "x") == Metric("score")
    assert metric_of("rate", "x", True) == Metric("rate", True, 0.0, 1.0)
    assert metric_of("cost", "x") == Metric("cost", None, 0.0, math.inf)
    assert metric_of({"kind": "score", "low": 0, "high": 5}, "x").bounded


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("rat", "unknown kind of seed 'rat': did you mean 'rate'?"),
        ({"kind": "score", "hig": 5}, "unknown key of seed 'hig': did you mean 'high'?"),
        ({"kind": "score", "high": "five"}, "seed: high is 'five', not a number"),
        ({"kind": "score", "low": 5, "high": 0}, "seed: low is 5, not below high, 0"),
        (["rate"], "unknown kind of seed"),
    ],
)
def test_a_kind_that_is_none_is_one_line(declared, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        metric_of(declared, "seed")


def judged(a, b, metric, exact=False):
    return judge_missing(np.array(a, float), np.array(b, float), None, metric, exact, 999, 1)


def test_missing_values_that_could_turn_a_rate():
    a, b = [0.0] * 30 + [1.0] * 10, [1.0] * 20 + [math.nan] * 20
    found = judged(a, b, metric_of("rate", "x"), exact=True)
    assert (found.reference, found.run, found.both, found.dropped) == (0, 20, 0, 20)
    assert found.p < 0.001
    assert found.withheld == "the missing values could change it"
    # twenty gained for certain; the others anywhere between losing ten and gaining ten
    assert found.worst.low < 0.25 < 0.75 < found.worst.high


def test_a_difference_that_stands_whatever_is_missing():
    found = judged([0.0] * 40, [1.0] * 37 + [math.nan] * 3, metric_of("rate", "x"), exact=True)
    assert found.withheld == ""
    assert 0.7 < found.worst.low < 37 / 40


def test_missing_values_of_unknown_range_that_differ():
    """Even where the range of the values seen could not turn it, for those missing may lie beyond."""
    a, b = np.full(60, 10.0) + np.arange(60) % 3, np.arange(60) % 3 * 1.0
    b[52:] = np.nan
    found = judged(a, b, metric_of("cost", "x", False))
    assert found.withheld.startswith("the runs differ in how many values are missing")
    assert judged(a, b, Metric("score", False, 0, 12)).withheld == ""


def test_infinite_values_have_no_mean():
    a = np.arange(20.0)
    b = a - 5
    b[3] = math.inf
    found = judged(a, b, Metric("score", False))
    assert (found.infinite, found.withheld) == (1, "values are infinite")
    a[3] = math.inf
    assert judged(a, b, Metric("score", False)).withheld == "values are infinite"


def test_values_that_both_lack_hide_no_verdict():
    a, b = np.arange(20.0), np.arange(20.0) + 1
    a[4] = b[4] = np.nan
    found = judged(a, b, Metric())
    assert (found.both, found.p, found.withheld) == (1, 1.0, "")


def test_t_of_each_row_is_scipys():
    values = np.random.default_rng(3).normal(0.3, 1.0, size=(6, 11))
    expected = stats.ttest_1samp(values, 0.0, axis=1)
    assert t_statistics(values) == pytest.approx(expected.statistic)
    assert ((abs(t_statistics(values)) > t_critical(10)) == (expected.pvalue < 0.05)).all()
    assert np.isnan(t_statistics(np.zeros((1, 4)))).all()
