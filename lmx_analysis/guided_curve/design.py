"""Finished runs as estimates over documents: accuracy, share of oracle tokens, oracle tokens for each problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.stats.clusters import effective_clusters
from lmx_analysis.stats.linear import TINY, Floats, Linear


@dataclass(frozen=True)
class Cells:
    """One group of runs that differ in nothing but the seed; arrays of shape ``[seeds, documents]``.

    correct: the metric. oracle, total: tokens of the answer(s). labels: the seeds; needed only where they are crossed.
    """

    correct: Floats
    oracle: Floats
    total: Floats
    labels: tuple[int, ...] = ()

    def of(self, documents: NDArray[np.bool_]) -> Cells:
        """Return the part of some documents, a mask of shape ``[documents]``."""
        return Cells(self.correct[:, documents], self.oracle[:, documents], self.total[:, documents], self.labels)


@dataclass(frozen=True)
class Design:
    """Which documents belong together, and what counts as independent.

    Attributes:
        clusters: the number of each document's cluster, 0 to n - 1, shape ``[documents]``.
        groups: how many groups of runs are estimated on them.
        rate: whether the metric is a share of right answers, so that one without any variation is not certain.
        seeds: where seeds are crossed with documents (a model trained anew with each), all of them; else empty.
    """

    clusters: NDArray[np.intp]
    groups: int
    rate: bool = False
    seeds: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of clusters."""
        return int(self.clusters.max()) + 1

    @property
    def effective(self) -> float:
        """Return the number of equal clusters that say as much."""
        return effective_clusters(np.bincount(self.clusters).astype(np.float64))

    @property
    def clustered(self) -> bool:
        """Whether any cluster has more than one document."""
        return self.count < self.clusters.size

    @property
    def units(self) -> int:
        """Return the length of influences: clusters, then one place for each group, then the crossed seeds."""
        return self.count + self.groups + len(self.seeds)

    def df(self, estimate: Linear) -> float:
        """Return degrees of freedom: of the clusters, and with crossed seeds Satterthwaite's of both together."""
        documents = max(self.effective - 1, 1.0)
        if not self.seeds:
            return documents
        of_seeds = float(np.square(estimate.influence[-len(self.seeds) :]).sum())
        rest = estimate.variance - of_seeds
        if of_seeds <= TINY * estimate.variance:
            return documents
        return (of_seeds + rest) ** 2 / (of_seeds**2 / max(len(self.seeds) - 1, 1) + rest**2 / documents)


def mean(values: Floats, design: Design, labels: Sequence[int] = ()) -> Linear:
    """Return the mean over documents of their means over seeds.

    A text's random stream comes from (seed, task, document, repeat), so another seed is another draw of each document
    and of nothing that documents share: seeds are nested in documents, and the variance between documents' means is
    the whole variance, with one seed or several. It is the cluster-robust variance with the factor G / (G - 1).

    With crossed seeds their own variance comes on top; it holds a part of the documents' noise twice, so that intervals
    are rather too wide.

    Args:
        values: shape ``[seeds, documents]``. labels: the seeds, where the design crosses them.
    """
    influence = np.zeros(design.units)
    documents = values.mean(axis=0)
    value = float(documents.mean())
    count = design.count
    sizes = np.bincount(design.clusters)
    sums = np.bincount(design.clusters, weights=documents)
    if count > 1:
        influence[:count] = math.sqrt(count / (count - 1)) * (sums - sizes * value) / documents.size
    if design.seeds and len(values) > 1:
        seeds = len(values)
        scale = 1 / math.sqrt(seeds * (seeds - 1))
        for label, row in zip(labels, values, strict=True):
            influence[design.units - len(design.seeds) + design.seeds.index(label)] += scale * (row.mean() - value)
    return Linear(value, influence)


def accuracy(cells: Cells, design: Design, number: int) -> Linear:
    """Return the mean of the metric of group `number`.

    Where all answers are right, or all wrong, the documents show no variance, which does not make them certain: the
    group's own place then holds the standard error that two right and two wrong answers more would give (A. Agresti and
    B. A. Coull, The American Statistician 52, 1998, pages 119-126).
    """
    found = mean(cells.correct, design, cells.labels)
    if design.rate and found.value in (0.0, 1.0):
        n = design.effective + 4
        found.influence[design.count + number] = math.sqrt(2 / n * (1 - 2 / n) / n)
    return found


def share(cells: Cells, design: Design) -> Linear:
    """Return the oracle's tokens over all tokens; 0 where there are none."""
    total = mean(cells.total, design, cells.labels)
    oracle = mean(cells.oracle, design, cells.labels)
    return oracle / total if total.value > 0 else oracle * 0.0


def tokens(cells: Cells, design: Design) -> Linear:
    """Return the oracle's tokens for each problem."""
    return mean(cells.oracle, design, cells.labels)
