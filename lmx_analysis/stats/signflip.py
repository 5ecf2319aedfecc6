"""The paired test of a mean difference: flips of the signs of cluster sums, and the interval that turns it around.

With no difference, each cluster's sum of differences is as likely to be positive as negative. So the observed
difference is compared with those that flips of the clusters' signs give: an exact test for any sizes of clusters where
differences are symmetric, and right for many clusters in any case (I. A. Canay, J. P. Romano and A. M. Shaikh,
Econometrica 85, 2017, pages 1013-1030; it is the wild cluster bootstrap with the null hypothesis imposed and
Rademacher weights of A. C. Cameron, J. B. Gelbach and D. L. Miller, Review of Economics and Statistics 90, 2008). The
statistic is the score t, |sum u| / sqrt(sum u^2) with u the cluster sums: no flip changes its denominator, so that no
draw is without variance.

The interval holds every difference that the test does not reject. It needs no search: to flip the clusters F is to
compare the mean over F, or over the others, with the hypothesis (J. A. Hartigan, JASA 64, 1969, pages 1303-1317).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.stats.intervals import LEVEL, Interval

Floats = NDArray[np.float64]
ENUMERATED = 13
"""Clusters up to which all flips are taken, 2^12 of them; beyond they are drawn."""
COLUMNS = 32
"""Tests whose draws are held at once."""
DRAWS = 2_000_000
"""Flips held in memory at once (16 MB)."""
MIN_CLUSTERS = 6
"""With five clusters the least p is 2 / 2^5."""
METHOD = "sign flips"


@dataclass(frozen=True)
class Flipped:
    """Two-sided p of no difference, and the interval of the difference; p < 1 - level just when 0 lies outside."""

    p: float
    interval: Interval


def flip_test(total: Floats, size: Floats, resamples: int, seed: int, level: float = LEVEL) -> list[Flipped]:
    """Test one mean difference a column, all columns with the same flips.

    Args:
        total: sums of the differences of each cluster, shape ``[clusters, tests]``. size: pairs in them, same shape; 0
            where a cluster does not take part. resamples: flips that are drawn where there are too many to take all.

    p counts the flips whose difference is as large or larger, the observed one included, and is at least
    2^(1 - k), k clusters that differ. A difference that grows while its spread stays the same never gets a larger p.
    With fewer than six clusters no flip test reaches p < 0.05, so there is no interval.
    """
    found: dict[int, Flipped] = {}
    many = []
    for test in range(total.shape[1]):
        there = size[:, test] > 0
        if int(there.sum()) <= ENUMERATED:
            few = _Means(total[there][:, [test]], size[there][:, [test]])
            few.add(all_flips(int(there.sum()))[1:])
            found[test] = few.result(0, level)
        else:
            many.append(test)
    for start in range(0, len(many), COLUMNS):
        tests = many[start : start + COLUMNS]
        means = _Means(total[:, tests], size[:, tests])
        for flips in draw_flips(total.shape[0], resamples, seed):
            means.add(flips)
        found.update({test: means.result(column, level) for column, test in enumerate(tests)})
    return [found[test] for test in range(total.shape[1])]


class _Means:
    """The means over flipped clusters and over the others, of each flip: the ends at which it begins to count."""

    def __init__(self, total: Floats, size: Floats) -> None:
        self.total, self.size = total, size
        self.whole, self.n = total.sum(axis=0), size.sum(axis=0)
        n = np.maximum(self.n, 1.0)
        self.difference = self.whole / n
        self.tiny = 1e-10 * np.abs(total).sum(axis=0) / n  # rounding of sums
        self.lower: list[Floats] = []
        self.upper: list[Floats] = []

    def add(self, flips: Floats) -> None:
        of_flipped, flipped = flips @ self.total, flips @ self.size
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = of_flipped / flipped, (self.whole - of_flipped) / (self.n - flipped)
        none = (flipped == 0) | (flipped == self.n)  # nothing is flipped, or all: it counts everywhere
        self.lower.append(np.where(none, -np.inf, np.minimum(a, b)))
        self.upper.append(np.where(none, np.inf, np.maximum(a, b)))

    def result(self, column: int, level: float) -> Flipped:
        lower = np.concatenate([each[:, column] for each in self.lower])
        upper = np.concatenate([each[:, column] for each in self.upper])
        d, tiny, total = float(self.difference[column]), float(self.tiny[column]), self.total[:, column]
        differing = int(np.count_nonzero(total))
        reached = int((lower <= tiny).sum() if d > 0 else (upper >= -tiny).sum())
        p = max((1 + reached) / (lower.size + 1), 2.0 ** (1 - differing)) if differing else 1.0
        if int((self.size[:, column] > 0).sum()) < MIN_CLUSTERS:
            why = f"fewer than {MIN_CLUSTERS} independent documents or clusters"
            return Flipped(p, Interval.none(why, METHOD, level))
        if not differing:
            return Flipped(p, Interval.none("no document differs", METHOD, level))
        # the k-th end from outside is where p reaches 1 - level
        k = max(1, math.ceil((1 - level) * (lower.size + 1) - 1e-9) - 1)
        low = float(np.partition(lower, k - 1)[k - 1])
        high = float(np.partition(upper, upper.size - k)[upper.size - k])
        if p >= 1 - level - 1e-12:
            low, high = min(low, 0.0), max(high, 0.0)
        return Flipped(p, Interval(low, high, level, METHOD))


def flip_statistics(total: Floats, resamples: int, seed: int) -> tuple[Floats, NDArray[np.float32]]:
    """Return |t| of each column, shape ``[tests]``, and of jointly drawn flips, ``[resamples, tests]``, for `max_t`.

    A column without differences has t = 0 throughout.
    """
    scale = np.sqrt((total**2).sum(axis=0))
    scale[scale == 0] = 1.0
    whole = total.sum(axis=0)
    drawn = [
        (np.abs(whole - 2 * (flips @ total)) / scale).astype(np.float32)
        for flips in draw_flips(len(total), resamples, seed)
    ]
    return np.abs(whole) / scale, np.concatenate(drawn)


def draw_flips(clusters: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield random flips in pieces of shape ``[rows, clusters]``: 1 where a sign is flipped, else 0."""
    rng = np.random.default_rng(seed)
    step = max(1, DRAWS // max(1, clusters))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        bits = np.unpackbits(rng.integers(0, 256, size=(rows, -(-clusters // 8)), dtype=np.uint8), axis=1)
        yield bits[:, :clusters].astype(np.float64)


def all_flips(clusters: int) -> Floats:
    """Return all flips but for mirror images (the first cluster is never flipped), ``[2^(clusters - 1), clusters]``.

    The first row flips nothing.
    """
    numbers = np.arange(2 ** max(clusters - 1, 0))
    flipped = np.zeros((numbers.size, clusters))
    flipped[:, 1:] = numbers[:, None] >> np.arange(clusters - 1) & 1
    return flipped
