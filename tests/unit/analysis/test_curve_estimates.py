"""The curve's arithmetic on arrays: influences, Fieller's sets, joint intervals, lines and areas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lmx_analysis.guided_curve import design as estimates
from lmx_analysis.guided_curve import intervals, lines
from lmx_analysis.guided_curve.design import Cells, Design
from lmx_analysis.guided_curve.lines import Knot
from lmx_analysis.guided_curve.settings import probability, random_setting
from lmx_analysis.stats import wilson
from lmx_analysis.stats.joint import joint_critical, student
from lmx_analysis.stats.linear import Linear
from lmx_analysis.stats.ratios import fieller


def fixed(value: float) -> Linear:
    return Linear(value, np.zeros(3))


def knots(*points: tuple[float, float]) -> list[Knot]:
    return [Knot(fixed(x), fixed(y)) for x, y in points]


def cells(correct: np.ndarray) -> Cells:
    return Cells(correct, correct * 3, np.full(correct.shape, 10.0))


def test_influences_of_a_function_are_those_of_its_derivatives() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5, 1, size=(3, 1, 40))
    design = Design(np.arange(40), 1)

    def function(a, b, c):  # type: ignore[no-untyped-def]
        return (a - b) * c / b + a * 2.0

    found = function(*(estimates.mean(each, design) for each in values))
    means = values.mean(axis=(1, 2))
    step = 1e-6
    slopes = [(function(*(means + step * e)) - function(*(means - step * e))) / (2 * step) for e in np.eye(3)]
    covariance = np.cov(values[:, 0]) / 40
    assert found.value == pytest.approx(function(*means))
    assert found.variance == pytest.approx(np.array(slopes) @ covariance @ np.array(slopes))


def test_a_mean_over_clusters_has_the_variance_of_their_sums() -> None:
    correct = np.repeat(np.random.default_rng(1).integers(0, 2, 10).astype(float), 4)[None]
    design = Design(np.repeat(np.arange(10), 4), 1)
    found = estimates.mean(correct, design)
    assert found.se == pytest.approx(correct[0, ::4].std(ddof=1) / math.sqrt(10))
    assert design.effective == pytest.approx(10)
    assert Design(np.array([0] * 25 + list(range(1, 26))), 1).effective == pytest.approx(50**2 / (25**2 + 25))


@pytest.mark.parametrize(
    ("numerator", "denominator", "spread", "shape"),
    [(0.3, 0.6, 0.1, "bounded"), (0.3, 0.1, 0.1, "outside"), (0.05, 0.05, 0.1, "all"), (0.0, 0.05, 0.1, "all")],
)
def test_fieller_holds_each_theta_that_its_test_does_not_reject(
    numerator: float, denominator: float, spread: float, shape: str
) -> None:
    rng = np.random.default_rng(3)
    top, bottom = (Linear(value, rng.normal(size=50) * spread / math.sqrt(50)) for value in (numerator, denominator))
    found = fieller(top, bottom, 2.0)
    assert found.shape == shape
    grid = np.concatenate([np.linspace(-30, 30, 6001), [1e5, -1e5]])
    for theta in grid:
        rest = top - bottom * float(theta)
        if abs(abs(rest.value) - 2.0 * rest.se) > 1e-9:
            assert found.excludes(theta) == (abs(rest.value) > 2.0 * rest.se)


def test_fieller_of_a_denominator_just_as_long_as_its_error_is_a_half_line() -> None:
    found = fieller(Linear(1.0, np.array([0.0, 0.1])), Linear(2.0, np.array([1.0, 0.0])), 2.0)
    assert (found.shape, found.high) == ("half", math.inf)
    assert found.low == pytest.approx((1 - 4 * 0.01) / 4)  # 4 theta = 1 - 4 * 0.01


def test_an_undefined_resample_does_not_remove_a_gaps_interval() -> None:
    """Base and oracle differ by 0.1 on 60 documents; one resample in a hundred has them equal."""
    design = Design(np.arange(60), 3, rate=True)
    groups = [cells((np.arange(60) < right).astype(float)[None]) for right in (24, 27, 30)]
    base, middle, oracle = (estimates.accuracy(each, design, number) for number, each in enumerate(groups))
    found = intervals.ratio(middle - base, oracle - base, design)
    assert found.value == pytest.approx(0.5)
    assert found.interval.bounded


def test_joint_intervals_know_how_estimates_depend() -> None:
    rng = np.random.default_rng(4)
    independent = [Linear(0.0, row) for row in np.eye(12)]
    one = rng.normal(size=12)
    alike = [Linear(0.0, one * scale) for scale in range(1, 13)]
    sidak = float(stats.norm.ppf(1 - (1 - 0.95 ** (1 / 12)) / 2))
    assert joint_critical(independent, 1e6, 100_000, 0) == pytest.approx(sidak, abs=0.02)
    assert joint_critical(alike, 1e6, 100_000, 0) == pytest.approx(1.96, abs=0.02)
    assert joint_critical(alike[:1], 20, 10, 0) == student(20)
    assert math.isnan(joint_critical([fixed(1.0)], 20, 10, 0))


def test_unanimous_answers_are_not_certain() -> None:
    design = Design(np.arange(3), 2, rate=True)
    sure, other = (estimates.accuracy(cells(np.full((1, 3), value)), design, i) for i, value in enumerate((1.0, 0.0)))
    assert sure.se == pytest.approx(math.sqrt((2 / 7) * (5 / 7) / 7))
    found = intervals.of(sure - other, design)
    assert found.low < 0.2
    assert intervals.of_accuracy(sure, cells(np.ones((1, 3))), design).interval == wilson(3, 3)
    score = Design(np.arange(3), 2)
    assert not intervals.of_accuracy(
        estimates.accuracy(cells(np.ones((1, 3))), score, 0), cells(np.ones((1, 3))), score
    ).interval.known


def test_intervals_of_accuracies() -> None:
    correct = np.array([[1.0] * 14 + [0.0] * 6])
    rate, score = (Design(np.arange(20), 1, rate=kind) for kind in (True, False))
    assert intervals.of_accuracy(estimates.accuracy(cells(correct), rate, 0), cells(correct), rate).interval == wilson(
        14, 20
    )
    found = intervals.of_accuracy(estimates.accuracy(cells(correct), score, 0), cells(correct), score)
    expected = stats.t.interval(0.95, 19, 0.7, stats.sem(correct[0]))
    assert (found.low, found.high) == pytest.approx(expected)
    # exactly one of two seeds right everywhere: no variance between documents, and no certainty
    halves = np.stack([correct[0], 1 - correct[0]])
    found = intervals.of_accuracy(estimates.accuracy(cells(halves), rate, 0), cells(halves), rate)
    assert 0.3 < found.low < 0.4 < 0.6 < found.high < 0.7


def test_a_line_is_straight_over_short_stretches_and_bent_over_long_ones() -> None:
    square = knots(*((x, x * x) for x in (0.0, 0.3, 0.6, 0.9)))
    found = lines.height(fixed(0.4), square)
    assert found is not None
    assert found.y.value == pytest.approx(0.16)  # a parabola gives back a parabola
    assert (found.between, found.near) == ((0.3, 0.6), False)
    dense = knots(*((x, x * x) for x in (0.0, 0.1, 0.2)))
    found = lines.height(fixed(0.15), dense)
    assert found is not None
    assert found.y.value == pytest.approx((0.01 + 0.04) / 2)
    assert found.near
    assert lines.height(fixed(0.3), dense) is None


@pytest.mark.parametrize(
    ("place", "dense", "sparse"),
    [(0.2, True, True), (0.21, True, True), (0.3, True, False), (0.45, False, False), (0.99, True, True)],
)
def test_a_control_is_near_where_the_distances_to_both_neighbours_are_small(
    place: float, dense: bool, sparse: bool
) -> None:
    for near, line in (
        (dense, knots((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (1.0, 1.0))),
        (sparse, knots((0.2, 0), (1, 1))),
    ):
        found = lines.height(fixed(place), line)
        assert found is not None
        assert found.near == near


def test_points_at_one_place_count_as_one() -> None:
    found = lines.height(fixed(0.3), knots((0.2, 0.4), (0.295, 0.8), (0.305, 0.2), (0.4, 0.6)))
    assert found is not None
    assert found.y.value == pytest.approx(0.5)


def test_measured_ranges() -> None:
    assert lines.measured(knots((0.1, 0), (0.3, 0), (0.7, 0), (0.8, 0))) == [(0.1, 0.3), (0.7, 0.8)]
    assert lines.measured(knots((0.1, 0), (0.25, 0))) == []  # two points show no curvature
    assert lines.measured(knots((0.1, 0), (0.2, 0))) == [(0.1, 0.2)]
    assert lines.measured(knots((0.1, 0))) == []
    assert lines.common([(0.1, 0.3), (0.7, 0.8)], [(0.2, 0.75)]) == [(0.2, 0.3), (0.7, 0.75)]


def test_lines_on_one_parabola_have_equal_areas_wherever_their_points_are() -> None:
    one, other = (knots(*((x, 1 - (1 - x) ** 2) for x in places)) for places in ((0.1, 0.3, 0.5), (0.05, 0.35, 0.6)))
    assert lines.area_between(one, other, [(0.1, 0.5)]).value == pytest.approx(0.0, abs=1e-12)
    higher = [Knot(knot.x, knot.y + 0.1) for knot in one]
    assert lines.area_between(higher, other, [(0.1, 0.5)]).value == pytest.approx(0.04)


def test_the_setting_that_would_hit_a_share() -> None:
    assert probability(0.5, 5) == pytest.approx(0.2)  # share p k / (p k + 1)
    assert probability(0.5, 5, [(0.1, 0.25)]) == pytest.approx(0.3)  # odds 1/3 at 0.1, so 1 at 0.3
    assert probability(0.5, 5, [(0.1, 0.25), (0.4, 0.8)]) == pytest.approx(
        math.exp(math.log(0.1) + (math.log(0.4) - math.log(0.1)) * math.log(3) / math.log(12))
    )
    assert probability(0.99, 5) is None
    assert probability(0.5, math.inf) is None
    controls = [({"k": 10.0, "c": math.inf, "prob": 0.1}, 0.25), ({"k": 5.0, "c": 3.0, "prob": 0.1}, 0.4)]
    assert random_setting(0.5, {"k": 5.0}, controls) == "k=5 prob=0.2"
    assert random_setting(0.5, {"k": 10.0}, controls) == "k=10 prob=0.3"


def test_intervals_cover_the_truth_with_one_seed_and_with_two() -> None:
    """Answers with a chance of their document's own; the truth is the difference of the two groups' mean chances."""
    rng = np.random.default_rng(0)
    rounds, documents = 600, 60
    for seeds in (1, 2):
        held = np.zeros(2)
        for _ in range(rounds):
            design = Design(np.arange(documents), 3, rate=True)
            chance = rng.uniform(0.1, 0.6, size=documents)
            groups = [cells((rng.random((seeds, documents)) < chance + more).astype(float)) for more in (0.0, 0.2, 0.4)]
            base, middle, oracle = (estimates.accuracy(each, design, i) for i, each in enumerate(groups))
            held[0] += not intervals.of(middle - base, design).interval.excludes(0.2)
            held[1] += not intervals.ratio(middle - base, oracle - base, design).interval.excludes(0.5)
        assert (held / rounds >= 0.925).all()
        assert (held / rounds <= 0.975).all()
