"""The paired test: equal to scipy and statsmodels where these have it, and sane where data are degenerate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from lmx_analysis.stats import Interval, compare_columns, compare_paired, mcnemar_exact, newcombe, signflip, skew


def brute_force(x, size, theta):
    """p of the hypothesis theta by taking every flip, for cluster sums x."""
    u = np.asarray(x) - theta * np.asarray(size)
    reached = [abs(np.dot(s, u)) >= abs(u.sum()) - 1e-9 for s in itertools.product((-1, 1), repeat=len(u))]
    return np.mean(reached)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (7, 1), (3, 3), (12, 4), (40, 61)])
def test_mcnemar_equals_statsmodels(gained, lost):
    expected = mcnemar([[5, lost], [gained, 9]], exact=True).pvalue if gained + lost else 1.0
    assert mcnemar_exact(gained, lost) == pytest.approx(expected)


def test_a_rate_gets_mcnemar():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 2, 60)
    b = np.where(rng.random(60) < 0.3, 1, a)
    table = [[((a == i) & (b == j)).sum() for j in (0, 1)] for i in (0, 1)]
    found = compare_paired(a, b, rate=True)
    assert found.test == "McNemar exact"
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.difference == pytest.approx((b - a).mean())


def test_a_score_that_holds_only_0_and_1_does_not():
    a, b = np.zeros(30), np.r_[np.ones(12), np.zeros(18)]
    score = compare_paired(a, b)
    assert score.test == "sign flips"
    assert score.p == pytest.approx(compare_paired(a, b, rate=True).p, abs=0.001)


def test_newcombe_equals_the_published_example():
    """Fagerland, Lydersen and Laake (2014): 1, 1, 7 and 12 children; -0.286, -0.507 to -0.026."""
    found = newcombe(1, 1, 7, 12)
    assert (found.low, found.high) == pytest.approx((-0.507, -0.026), abs=5e-4)
    mirrored = newcombe(1, 7, 1, 12)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high))


@pytest.mark.parametrize("counts", [(0, 0, 0, 5), (5, 0, 0, 0), (0, 5, 0, 0), (0, 0, 1, 0), (0, 3, 3, 0)])
def test_newcombe_at_the_edges(counts):
    found = newcombe(*counts)
    assert -1 <= found.low <= (counts[1] - counts[2]) / sum(counts) <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize("seed", range(4))
def test_few_clusters_take_every_flip(seed):
    """p, and p at the interval's ends, equal those of all 2^9 flips one by one; sizes of clusters differ."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 9)
    values = np.repeat(rng.normal(0.4, size=9), sizes) + rng.normal(size=sizes.sum())
    labels = np.repeat(np.arange(9), sizes)
    total = np.bincount(labels, weights=values)
    (found,) = signflip.flip_test(total[:, None], sizes[:, None].astype(float), 99, 0)
    assert found.p == pytest.approx(brute_force(total, sizes, 0.0))
    ends = found.interval
    assert brute_force(total, sizes, ends.low + 1e-7) >= 0.05 > brute_force(total, sizes, ends.low - 1e-7)
    assert brute_force(total, sizes, ends.high - 1e-7) >= 0.05 > brute_force(total, sizes, ends.high + 1e-7)


def test_equal_to_scipys_permutation_test():
    x = np.random.default_rng(2).normal(0.5, size=11)
    expected = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert compare_paired(np.zeros(11), x).p == pytest.approx(expected)


def test_agrees_with_scipy_on_plenty_of_data():
    """At n = 500 the t test and scipy's BCa bootstrap tell the same, up to the noise of 10,000 flips."""
    rng = np.random.default_rng(3)
    a, b = rng.gamma(2.0, size=500), rng.gamma(2.1, size=500)
    found = compare_paired(a, b)
    expected = stats.ttest_rel(b, a).pvalue
    interval = stats.bootstrap((b - a,), np.mean, n_resamples=10_000, rng=rng).confidence_interval
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 10_000) + 0.005)
    ends = (interval.low, interval.high)
    assert (found.interval.low, found.interval.high) == pytest.approx(ends, abs=0.05 * (ends[1] - ends[0]))


def test_clusters_are_flipped_whole():
    """Ten equal documents in a domain carry the information of one."""
    domains = np.random.default_rng(4).normal(0.5, size=20)
    every, labels = np.repeat(domains, 10), np.repeat([f"domain {n}" for n in range(20)], 10)
    clustered = compare_paired(np.zeros(200), every, labels, resamples=2000)
    alone = compare_paired(np.zeros(20), domains, resamples=2000)
    ignored = compare_paired(np.zeros(200), every, resamples=2000)
    for name in ("low", "high"):
        assert getattr(clustered.interval, name) == pytest.approx(getattr(alone.interval, name))
    assert (clustered.p, clustered.clusters) == (pytest.approx(alone.p), 20)
    width = clustered.interval.high - clustered.interval.low
    assert ignored.interval.high - ignored.interval.low < 0.5 * width


def test_clusters_of_unequal_size_keep_the_mean_over_documents():
    b = np.array([1.0, 2, 3, 0, 0, 5, 1, 1, 2])
    found = compare_paired(np.zeros(9), b, list("aaabbcdef"))
    assert found.difference == pytest.approx(b.mean())
    assert (found.clusters, found.effective) == (6, pytest.approx(81 / 17))


def test_a_rate_in_clusters_gets_the_cluster_method():
    assert compare_paired([0, 1, 0, 1], [1, 1, 0, 0], list("aabb"), rate=True).test == "sign flips, 2 clusters"


def test_no_difference_at_all():
    found = compare_paired([0.1, 0.2, 0.5], [0.1, 0.2, 0.5])
    assert (found.p, found.difference, found.differing, found.interval.known) == (1.0, 0.0, 0, False)


def test_rounding_is_no_difference():
    found = compare_paired([0.1 + 0.2, 1.5], [0.3, 1.5])
    assert (found.differing, found.p) == (0, 1.0)


def test_one_document_shows_nothing():
    found = compare_paired([1.0], [3.5])
    assert (found.n, found.p, found.difference, found.interval.known) == (1, 1.0, 2.5, False)


def test_few_differing_documents_cannot_be_significant():
    """Five documents that differ, all the same way: 2 * (1/2)^5 = 0.0625 is the least p of a sign-flip test."""
    found = compare_paired(np.zeros(50), np.r_[np.ones(5) * 1.5, np.zeros(45)])
    assert found.p >= 0.0625
    assert found.interval.low <= 0 < 0.15 < found.interval.high


def test_the_same_shift_everywhere():
    found = compare_paired(np.zeros(40), np.full(40, 2.5), resamples=999)
    assert (found.interval.low, found.interval.high, found.p) == (2.5, 2.5, 0.001)
    few = compare_paired(np.zeros(4), np.full(4, 2.5))
    assert (few.p, few.interval.known) == (0.125, False)
    assert few.interval.withheld == "fewer than 6 independent documents or clusters"


@pytest.mark.parametrize("n", [7, 24, 200])
def test_all_but_one_differ_alike(n):
    """What a bootstrap of t took for no difference, at any n."""
    found = compare_paired(np.zeros(n), np.r_[np.full(n - 1, -5.0), -3.0])
    assert found.p <= max(0.0002, 2.0 ** (1 - n))
    assert found.interval.low <= found.difference <= found.interval.high < -3


SHAPES = st.lists(st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.0, 0.25, 1.0, 8.0]), min_size=6, max_size=30)


@settings(max_examples=60, deadline=None)
@example([-3.0, -3.0, -1.0, -1.0, -1.0, -0.5, 1.0, 8.0], [0] * 30, 0.03125)  # skewed, with a mean close to 0
@given(SHAPES, st.lists(st.integers(0, 8), min_size=30, max_size=30), st.floats(0.01, 3.0))
def test_a_larger_effect_of_one_shape_never_gets_a_larger_p(shape, labels, step):
    """Shifted away from 0 in the direction of its mean, with clusters and without."""
    x = np.array(shape)
    shifts = np.array([x + k * step * (1 if x.mean() >= 0 else -1) for k in range(4)]).T
    for clusters in (None, np.unique(labels[: x.size], return_inverse=True)[1]):
        tested = compare_columns(np.zeros_like(shifts), shifts, clusters, rate=[False] * 4, resamples=499)
        p = [each.p for each in tested]
        # the floor 2^(1 - k) depends on which documents differ, which a shift can change
        floors = [2.0 ** (1 - each.differing) for each in tested]
        assert all(b <= max(a, floor) + 1e-12 for a, b, floor in zip(p, p[1:], floors[1:], strict=False))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.floats(-2.0, 2.0), st.floats(0.1, 50))
def test_test_and_interval_agree_and_scale(shape, shift, scale):
    x = np.array(shape) + shift
    found = compare_paired(np.zeros(x.size), x, resamples=499)
    if found.interval.known:
        assert (found.p < 0.05) == found.interval.excludes(0.0)
        assert found.interval.low <= found.difference <= found.interval.high
    scaled = compare_paired(np.zeros(x.size), x * scale, resamples=499)
    assert scaled.p == pytest.approx(found.p)


def test_skewed_differences_get_the_wider_interval():
    """Log-normal differences: the corrected t reaches further up, where the few large ones are."""
    x = np.random.default_rng(7).lognormal(0, 1.5, size=40) - 2
    found = compare_paired(np.zeros(40), x)
    (flips,) = signflip.flip_test(x[:, None], np.ones((40, 1)), 10_000, 1234)
    p, corrected = skew.hall_test(x, np.ones(40))
    assert found.interval.high == pytest.approx(corrected.high)
    assert corrected.high > flips.interval.high
    assert found.p == max(p, flips.p)
    assert found.skewness == pytest.approx(stats.skew(x))


def test_halls_t_is_students_where_nothing_is_skewed():
    x = np.array([-3.0, -1, -1, 0, 0, 0, 1, 1, 3]) + 0.7
    p, ends = skew.hall_test(x, np.ones(9))
    expected = stats.ttest_1samp(x, 0)
    assert p == pytest.approx(expected.pvalue)
    assert (ends.low, ends.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_columns_equal_single_tests_and_lack_their_own_pairs():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 40, 3))
    a[:5, 1] = b[:5, 1] = np.nan
    tested = compare_columns(a, b, rate=[False] * 3, resamples=499)
    assert [each.n for each in tested] == [40, 35, 40]
    alone = compare_paired(a[:, 2], b[:, 2], resamples=499)
    assert tested[2].p == alone.p
    assert tested[2].interval.low == pytest.approx(alone.interval.low)


def test_memory_is_bounded_and_pieces_are_the_whole(monkeypatch):
    x = np.random.default_rng(6).normal(0.2, size=50)
    whole = compare_paired(np.zeros(50), x, resamples=2000)
    monkeypatch.setattr(signflip, "DRAWS", 5_000)
    assert max(len(flips) for flips in signflip.draw_flips(50, 2000, 1)) == 100
    pieces = compare_paired(np.zeros(50), x, resamples=2000)
    assert (pieces.p, pieces.interval) == (whole.p, whole.interval)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [math.nan]), ([math.inf], [1.0])])
def test_bad_values_are_refused(a, b):
    with pytest.raises(ValueError, match="finite"):
        compare_paired(a, b)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ValueError, match="0 or 1"):
        compare_paired([0.0, 0.5], [1.0, 1.0], rate=True)


def test_an_interval_that_is_withheld_says_why():
    none = Interval.none("no documents")
    assert not none.known
    assert not none.excludes(0.0)
    assert none.hull(Interval(0, 1)).withheld == "no documents"
    assert Interval(0, 1).hull(Interval(-1, 0.5)) == Interval(-1, 1)


@pytest.mark.parametrize(
    ("up", "down", "ties", "size"), [(15, 5, 0, 1.0), (5, 15, 0, 0.25), (12, 2, 6, 3.0), (34, 16, 0, 1)]
)
def test_differences_of_one_size_get_the_exact_test_of_signs(up, down, ties, size):
    """A score of 0 and 1 that is not declared a rate: a mean of 0 makes its differences symmetric, so not skewed."""
    x = np.repeat([size, -size, 0.0], [up, down, ties])
    found = compare_paired(np.zeros(x.size), x)
    assert found.p == pytest.approx(mcnemar_exact(up, down), abs=0.006)
    assert (found.p < 0.05, found.corrected) == (mcnemar_exact(up, down) < 0.05, False)
