"""Corrections for many tests: Holm, Benjamini-Hochberg, and Westfall and Young's step-down max-T."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TIES = 1e-6
"""Relative difference below which statistics are equal; null draws may be held in single precision."""


def holm(p: Iterable[float]) -> list[float]:
    """Return p corrected so that any false alarm among all tests stays below the level, however they depend.

    S. Holm, Scandinavian Journal of Statistics 6, 1979, pages 65-70.
    """
    values = np.array(list(p), dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty(values.size)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    return [float(q) for q in np.minimum(corrected, 1.0)]


def benjamini_hochberg(p: Iterable[float]) -> list[float]:
    """Return p corrected for the share of false alarms among what is found (false discovery rate).

    Y. Benjamini and Y. Hochberg, Journal of the Royal Statistical Society B 57, 1995, pages 289-300. It holds for
    independent and positively dependent tests.
    """
    values = np.array(list(p), dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    corrected = np.empty(values.size)
    scaled = values[order] * values.size / np.arange(values.size, 0, -1)
    corrected[order] = np.minimum.accumulate(scaled)
    return [float(q) for q in np.minimum(corrected, 1.0)]


def max_t(
    observed: Sequence[float] | Floats, null: NDArray[np.floating], p: Sequence[float] | None = None
) -> list[float]:
    """Return p corrected by the step-down max-T method, which uses how the tests depend on each other.

    Args:
        observed: statistics, large where the hypothesis is doubtful, shape ``[tests]``; all on one scale.
        null: the same statistics under no difference, drawn jointly, shape ``[draws, tests]``.
        p: each test's own p. Where it is larger than the null draws give, as for an exact or a more careful test, the
            statistic is lowered to the value that has this p; no corrected p is below it.

    P. H. Westfall and S. S. Young, Resampling-Based Multiple Testing, 1993, algorithm 4.1 (there 2.8 for p). Tests are
    taken in order of their statistics; each is compared with the largest null statistic among itself and those after
    it, and p never falls along that order. Of equal tests it corrects nothing; of independent ones as much as Holm.
    One is added to both counts, so p is at least 1 / (draws + 1).
    """
    t = np.array(observed, dtype=np.float64)
    if t.size == 1 and p is not None:
        return [float(p[0])]
    if not t.size:
        return []
    draws = null.shape[0]
    own = np.zeros(t.size) if p is None else np.asarray(p, dtype=np.float64)
    for test in range(t.size) if p is not None else ():
        rank = math.ceil(own[test] * (draws + 1) - 1e-9) - 1
        if rank > int((null[:, test] >= t[test] * (1 - TIES)).sum()):
            t[test] = np.partition(null[:, test], draws - rank)[draws - rank]
    order = np.argsort(-t, kind="stable")
    corrected = np.empty(t.size)
    largest = np.full(draws, -np.inf)
    for test in order[::-1]:
        np.maximum(largest, null[:, test], out=largest)
        reached = int((largest >= t[test] * (1 - TIES)).sum())
        corrected[test] = (1 + reached) / (draws + 1)
    corrected[order] = np.maximum.accumulate(np.maximum(corrected, own)[order])
    return [float(q) for q in corrected]
