"""Groups of documents that are not independent of each other: numbering, sums, and how many they amount to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]


def numbered(labels: Sequence[Hashable]) -> Numbers:
    """Return the number of each document's cluster, 0 to clusters - 1 in order of appearance, shape ``[documents]``."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def cluster_sums(values: Floats, clusters: Numbers, count: int | None = None) -> Floats:
    """Return the sums of the clusters, shape ``[clusters, ...]``, of values of shape ``[documents, ...]``."""
    groups = int(clusters.max()) + 1 if count is None else count
    sums = np.zeros((groups, *values.shape[1:]))
    np.add.at(sums, clusters, values)
    return sums


def effective_clusters(sizes: Floats) -> float:
    """Return (sum n)^2 / sum n^2, the number of equal clusters that would tell as much about a mean.

    It is Kish's effective sample size for the weights n (L. Kish, Survey Sampling, 1965) at full dependence within
    clusters; Carter, Schnepel and Steigerwald (Review of Economics and Statistics 99, 2017) use it, with one more
    term, to say when a cluster-robust test can be trusted.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    squares = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / squares if squares else 0.0
