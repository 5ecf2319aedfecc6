"""Correlations with correctness: scipy's coefficients, intervals over documents, permutations, one family of tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lmx_analysis.guided_stats.correlation import correlate
from lmx_analysis.stats import benjamini_hochberg
from lmx_analysis.stats.correlation import Shuffled, permuted_p


def columns(seed: int = 0, documents: int = 40, each: int = 3) -> Iterator[list[Any]]:
    rng = np.random.default_rng(seed)
    right = np.repeat(rng.integers(0, 2, size=documents), each)
    yield (rng.normal(size=right.size).round(1) + right).tolist()
    yield right.astype(float).tolist()
    yield np.repeat(np.arange(documents), each).tolist()


def test_coefficients_are_scipys() -> None:
    x, y, clusters = columns()
    pearson, spearman = correlate({"x": x}, y, clusters, 500, 0)
    assert pearson.coefficient == "point-biserial"
    assert pearson.value == pytest.approx(stats.pointbiserialr(y, x).statistic)
    assert spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    for each in (pearson, spearman):
        assert each.low < each.value < each.high
        assert each.p < 0.05
        assert (each.n, each.clusters) == (120, 40)


def test_copies_of_a_document_tell_nothing_new() -> None:
    x, y, clusters = columns(each=1)
    once = correlate({"x": x}, y, clusters, 300, 0)
    copied = correlate({"x": x * 5}, y * 5, clusters * 5, 300, 0)
    for a, b in zip(once, copied, strict=True):
        assert (a.value, a.low, a.high, a.p) == pytest.approx((b.value, b.low, b.high, b.p))


def test_intervals_of_correlations_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for number in range(100):
        of_document = rng.normal(size=50)
        right = (rng.random(50) < 0.5).astype(float)
        x = (np.repeat(of_document, 4) + rng.normal(size=200)).tolist()  # independent of being right
        found = correlate({"x": x}, np.repeat(right, 4).tolist(), np.repeat(np.arange(50), 4).tolist(), 200, number)[0]
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 100 < 1


def test_constant_and_missing_values() -> None:
    x, y, clusters = columns()
    found = correlate({"flat": [1.0] * len(x), "gappy": [None, *x[1:]], "x": x}, y, clusters, 200, 0)
    assert math.isnan(found[0].value)
    assert math.isnan(found[0].p_bh)
    assert found[2].n == len(x) - 1
    assert all(each.p_bh >= each.p for each in found[2:])
    assert all(math.isnan(each.value) for each in correlate({"x": x}, [1.0] * len(x), clusters, 200, 0))


def test_the_permutation_test_is_that_of_all_orders() -> None:
    x = np.array([0.1, 0.9, 0.4, 2.0, 1.1, 0.3])
    y = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    observed = abs(np.corrcoef(x, y)[0, 1])
    orders = [abs(np.corrcoef(x, y[list(order)])[0, 1]) for order in itertools.permutations(range(6))]
    exact = np.mean([each >= observed * (1 - 1e-9) for each in orders])
    found = correlate({"x": x.tolist()}, y.tolist(), list(range(6)), 20_000, 0)[0]
    assert found.test == "permutation"
    assert found.p == pytest.approx(exact, abs=0.01)
    assert (found.fewest, math.isnan(found.low)) == (2, True)  # two documents are right: no interval


def test_few_errors_raise_no_more_false_alarms() -> None:
    """Three documents of 40 are wrong and have from 1 to 8 consultations: the bootstrap finds something in a third."""
    rng = np.random.default_rng(5)
    found = 0
    for number in range(200):
        counts = rng.integers(1, 9, size=40)
        right = np.repeat((np.arange(40) >= 3).astype(float), counts)
        documents = np.repeat(np.arange(40), counts)
        x = np.repeat(rng.normal(size=40), counts) + rng.normal(size=right.size)
        found += correlate({"x": x.tolist()}, right.tolist(), documents.tolist(), 199, number)[0].p <= 0.05
    assert found / 200 <= 0.09


def test_documents_exchange_all_their_answers_text_for_text() -> None:
    """Two texts a document; the third has one only and stays where it is."""
    answers = {(d, t): float(10 * d + t) for d, t in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))}
    shuffled = Shuffled([0, 0, 1, 2], [0, 1, 1, 0], answers)
    drawn = np.concatenate(list(shuffled.draws(np.ones(4, dtype=bool), 50, 0)))
    assert {tuple(row) for row in drawn.tolist()} == {(0, 1, 11, 20), (10, 11, 1, 20)}
    assert shuffled.possible
    assert not Shuffled([0, 1], [0, 1], {(0, 0): 1.0, (1, 1): 0.0}).possible


def test_intervals_hold_the_truth_with_few_errors_and_uneven_texts() -> None:
    """12 of 60 documents are wrong and texts have 1 to some 30 consultations: a percentile bootstrap misses in 11 %."""
    rng = np.random.default_rng(3)
    missed = 0
    for number in range(200):
        counts = np.ceil(rng.lognormal(1, 1, size=60)).astype(int)
        right = np.repeat((rng.permutation(60) >= 12).astype(float), counts)
        documents = np.repeat(np.arange(60), counts).tolist()
        x = np.repeat(rng.normal(size=60), counts) + rng.normal(size=right.size)
        found = correlate({"x": x.tolist()}, right.tolist(), documents, 1, number)[0]
        missed += not found.low <= 0 <= found.high
    assert missed / 200 <= 0.085


def test_the_interval_is_that_of_a_jackknife_on_fishers_scale() -> None:
    rng = np.random.default_rng(4)
    right = (np.arange(30) >= 12).astype(float)
    x = rng.normal(size=30) + right
    found = correlate({"x": x.tolist()}, right.tolist(), list(range(30)), 1, 0)[0]
    left_out = [np.corrcoef(np.delete(x, i), np.delete(right, i))[0, 1] for i in range(30)]
    z = np.arctanh(found.value)
    half = stats.t.ppf(0.975, 11) * np.sqrt(29 / 30 * ((np.arctanh(left_out) - z) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)))


def test_without_a_permutation_the_jackknife_gives_p() -> None:
    x, y, clusters = columns()
    answers = {(document, document): float(right) for document, right in zip(clusters, y, strict=True)}
    found = correlate({"x": x}, y, clusters, 200, 0, texts=clusters, answers=answers)
    assert {each.test for each in found} == {"jackknife"}
    assert all((each.p < 0.05) == (not each.low <= 0 <= each.high) for each in found)


def test_ranks_of_permuted_answers_are_made_anew() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.5, 0.5, 7.0])
    draws = iter([np.array([[0.0, 0.5, 0.5, 7.0], [7.0, 0.5, 0.5, 0.0], [0.5, 0.0, 7.0, 0.5]])])
    assert permuted_p(x, y, draws, ranks=True) == pytest.approx(3 / 4)


def test_both_coefficients_are_one_family() -> None:
    rng = np.random.default_rng(6)
    right = rng.integers(0, 2, size=60).astype(float)
    x = {
        name: (rng.normal(size=60) + strength * right).tolist() for name, strength in (("a", 0.9), ("b", 0.3), ("c", 0))
    }
    found = correlate(x, right.tolist(), list(range(60)), 999, 0)
    assert len(found) == 6
    assert [each.p_bh for each in found] == pytest.approx(benjamini_hochberg(each.p for each in found))


def test_an_interval_that_is_withheld_says_why() -> None:
    x, y, clusters = columns()
    known = correlate({"x": x}, y, clusters, 99, 0)[0]
    assert (known.interval.known, known.interval.withheld) == (True, "")
    few = correlate({"x": x[:18]}, [1.0, 1.0, 1.0, *[0.0] * 6, *[1.0] * 9], clusters[:18], 99, 0)[0]
    assert (few.fewest, few.interval.withheld) == (2, "fewer than 10 documents differ from the rest")
    assert math.isfinite(few.p)
    flat = correlate({"x": [1.0] * len(x)}, y, clusters, 99, 0)[0]
    assert flat.interval.withheld.startswith("one side does not vary")
    perfect = correlate({"x": y}, y, clusters, 99, 0)[0]
    assert perfect.interval.withheld.startswith("the correlation is perfect")
    alike = correlate({"x": x}, [1.0, *[0.0] * (len(x) - 1)], list(range(len(x))), 99, 0)[0]
    assert alike.interval.withheld == "fewer than two documents differ from the rest"
    assert few.record()["withheld"] == few.interval.withheld
