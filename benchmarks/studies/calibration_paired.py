"""Rows of the paired test: what it does on ties, skew, heavy tails, and clusters, few or unequal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.studies.calibration_before import bootstrap_t
from benchmarks.studies.calibration_rows import Floats, Row, share
from lmx_analysis.stats import compare_paired

REPEATS, RESAMPLES = 1000, 999
Draw = Callable[[np.random.Generator, int], Floats]
"""Differences without a true mean, shape ``[n]``, of standard deviation 1 where it exists."""


def normal(rng: np.random.Generator, n: int) -> Floats:
    """Return normal differences."""
    return rng.normal(size=n)


def signs(rng: np.random.Generator, n: int) -> Floats:
    """Return differences of one size, up or down."""
    return rng.choice([-1.0, 1.0], size=n)


def outlier(rng: np.random.Generator, n: int) -> Floats:
    """Return normal differences, one of them ten times as large."""
    found = rng.normal(size=n)
    found[0] *= 10
    return found


def ties(rng: np.random.Generator, n: int) -> Floats:
    """Return differences of which four fifths are 0, the others -2 to 2."""
    return np.where(rng.random(n) < 0.8, 0.0, rng.choice([-2.0, -1.0, 1.0, 2.0], size=n))


def exponential(rng: np.random.Generator, n: int) -> Floats:
    """Return differences of skewness 2."""
    return rng.exponential(size=n) - 1


def log_normal(rng: np.random.Generator, n: int) -> Floats:
    """Return very skewed differences, log-normal with s = 1.5 (skewness 33)."""
    return rng.lognormal(0, 1.5, size=n) - np.exp(1.125)


def heavy(rng: np.random.Generator, n: int) -> Floats:
    """Return differences of Student's t with 2 degrees of freedom: no variance."""
    return rng.standard_t(2, size=n)


ALONE: tuple[tuple[str, Draw, tuple[int, ...]], ...] = (
    ("normal", normal, (6, 10, 20, 50, 500)),
    ("one size, up or down", signs, (8, 20, 50)),
    ("four fifths ties", ties, (20, 50, 200)),
    ("one outlier", outlier, (10, 30, 100)),
    ("heavy tails, t with 2 df", heavy, (6, 20, 50, 500)),
    ("skew, exponential", exponential, (10, 20, 50, 200)),
    ("skew, log-normal s = 1.5", log_normal, (10, 20, 50, 100, 500)),
)


def unequal(count: int) -> list[int]:
    """Return sizes of clusters that double every few: the largest is about eight times the smallest."""
    return [round(2 * 8 ** (i / (count - 1))) for i in range(count)]


HALF = [*([4] * 24), 96]
CLUSTERED: tuple[tuple[str, Draw, Sequence[int]], ...] = (
    ("6 clusters of 8", normal, [8] * 6),
    ("10 clusters of 8", normal, [8] * 10),
    ("25 clusters of 4", normal, [4] * 25),
    ("6 clusters of 2 to 16", normal, unequal(6)),
    ("10 clusters of 2 to 16", normal, unequal(10)),
    ("25 clusters of 2 to 16", normal, unequal(25)),
    ("25 clusters, one holds half", normal, HALF),
    ("25 clusters of 4, exponential effects", exponential, [4] * 25),
    ("25 clusters of 2 to 16, exponential effects", exponential, unequal(25)),
    ("25 clusters, one holds half, exponential effects", exponential, HALF),
)


def clustered(draw: Draw, sizes: Sequence[int]) -> Draw:
    """Return a source of differences that share an effect within each cluster, as large as their own noise."""

    def differences(rng: np.random.Generator, n: int) -> Floats:
        return np.repeat(draw(rng, len(sizes)), sizes) + rng.normal(size=n)

    return differences


def rates(rng: np.random.Generator, n: int) -> Floats:
    """Return differences of 0/1 answers in clusters of four that share an effect on each run."""
    effects = np.repeat(rng.normal(size=(2, n // 4)), 4, axis=1)
    right = rng.normal(size=n) + effects + rng.normal(size=(2, n)) > 0
    return right[1].astype(float) - right[0]


def rejected(
    draw: Draw, n: int, sizes: Sequence[int] | None, shift: float, repeats: int, rate: bool = False
) -> tuple[float, float]:
    """Return the shares of studies with p < 0.05, before and after, where all differences are shifted by `shift`."""
    rng = np.random.default_rng(n)
    labels = np.arange(n) if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
    size = np.bincount(labels).astype(np.float64)
    before, after = np.zeros(repeats, bool), np.zeros(repeats, bool)
    for study in range(repeats):
        x = draw(rng, n) + shift
        total = np.bincount(labels, weights=x)
        before[study] = bootstrap_t(total, size, RESAMPLES, study)[0] < 0.05
        names = None if sizes is None else labels.tolist()
        after[study] = compare_paired(np.zeros(n), x, names, share=rate, resamples=RESAMPLES, seed=study).p < 0.05
    return share(before), share(after)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows; since the interval is the test turned around, coverage is 1 less the false alarms."""
    repeats = REPEATS // 10 if quick else REPEATS
    group = "paired test: false alarms (coverage is the rest)"
    for name, draw, counts in ALONE:
        for n in counts:
            few = repeats if n < 200 else max(100, repeats // 2)
            yield Row(group, f"{name}, n = {n}", 0.05, *rejected(draw, n, None, 0.0, few), few)
    group = "paired test with clusters: false alarms"
    for name, draw, sizes in CLUSTERED:
        found = rejected(clustered(draw, sizes), sum(sizes), sizes, 0.0, repeats)
        yield Row(group, name, 0.05, *found, repeats)
    for clusters in (6, 10, 25):
        found = rejected(rates, 4 * clusters, [4] * clusters, 0.0, repeats, rate=True)
        yield Row(group, f"0/1 answers in {clusters} clusters of 4", 0.05, *found, repeats)
    group = "paired test: a difference is found"
    shapes: tuple[tuple[str, Draw, int, Sequence[int] | None, float], ...] = (
        ("all but one differ by 5, the other by 3", lambda rng, n: np.r_[np.zeros(n - 1), -2.0], 24, None, 5.0),
        ("all differ by 1", lambda rng, n: np.zeros(n), 24, None, 1.0),
        *((f"normal, n = {n}", normal, n, None, 2.5 / np.sqrt(n)) for n in (8, 10, 20, 50, 500)),
        *((f"heavy tails, n = {n}", heavy, n, None, 4 / np.sqrt(n)) for n in (10, 20, 50)),
        *((f"four fifths ties, n = {n}", ties, n, None, 2 / np.sqrt(n)) for n in (50, 200)),
        ("6 clusters of 8", clustered(normal, [8] * 6), 48, [8] * 6, 1.2),
        ("25 clusters of 4", clustered(normal, [4] * 25), 100, [4] * 25, 0.6),
    )
    for name, draw, n, sizes, shift in shapes:
        few = repeats if n < 200 else max(100, repeats // 2)
        yield Row(group, name, None, *rejected(draw, n, sizes, shift, few), few)
