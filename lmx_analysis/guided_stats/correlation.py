"""Correlation of each statistic with correctness, with intervals that know that texts are not independent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lmx_analysis.stats import Interval, benjamini_hochberg, numbered
from lmx_analysis.stats.correlation import Answers, Shuffled, jackknife, permuted_p


@dataclass(frozen=True)
class Correlation:
    """One coefficient of one statistic with correctness.

    Attributes:
        coefficient: ``point-biserial`` (Pearson's r with 0/1), ``pearson`` or ``spearman``. n: consultations.
        clusters: documents. fewest: documents that differ from the most frequent answers; few errors, or few right.
        interval: 95 %; withheld where not determined.
        p: two-sided. test: where it comes from, ``permutation`` or ``jackknife``.
        p_bh: corrected over all rows, statistics and coefficients together (Benjamini and Hochberg, 1995).
    """

    measure: str
    coefficient: str
    n: int
    clusters: int
    fewest: int
    value: float
    interval: Interval
    p: float
    test: str
    p_bh: float = math.nan

    @property
    def low(self) -> float:
        """The lower end of the interval; NaN where it is withheld."""
        return self.interval.low

    @property
    def high(self) -> float:
        """The upper end of the interval; NaN where it is withheld."""
        return self.interval.high

    def record(self) -> dict[str, Any]:
        """Return the correlation as a row."""
        return {
            "measure": self.measure, "coefficient": self.coefficient, "n": self.n, "clusters": self.clusters,
            "fewest": self.fewest, "value": self.value, "low": self.low, "high": self.high, "p": self.p,
            "test": self.test, "p_bh": self.p_bh, "withheld": self.interval.withheld,
        }  # fmt: skip


def correlate(
    columns: Mapping[str, Sequence[float | None]],
    correct: Sequence[float],
    clusters: Sequence[Hashable],
    resamples: int,
    seed: int,
    texts: Sequence[Hashable] | None = None,
    answers: Answers | None = None,
) -> list[Correlation]:
    """Return Pearson's and Spearman's coefficient of each column with `correct`.

    Each row, a consultation, counts the same: a text with many of them weighs more than one with few.

    p comes from permuting correctness over documents (`Shuffled`), which is exact also where few answers are
    wrong; where no permutation is possible it comes from the interval's t. The interval is that of `jackknife`,
    which leaves out one document, with all its consultations, texts and seeds, at a time.

    Args:
        clusters: the document of each row. texts: which of its document's texts a row belongs to, e.g. setting, seed
            and repeat; by default each document has one.
        answers: correctness of every text by (document, text), also of those without rows; by default those of rows.
    """
    groups = numbered(clusters)
    y = np.asarray(correct, dtype=np.float64)
    labels = [""] * len(y) if texts is None else list(texts)
    known_answers = (
        dict(zip(zip(clusters, labels, strict=True), y.tolist(), strict=True)) if answers is None else answers
    )
    shuffled = Shuffled(clusters, labels, known_answers)
    alike = all(known_answers[key] == value for key, value in zip(zip(clusters, labels, strict=True), y, strict=True))
    count = int(groups.max()) + 1 if groups.size else 0
    pearson = "point-biserial" if set(y.tolist()) <= {0.0, 1.0} else "pearson"
    found: list[Correlation] = []
    for name, values in columns.items():
        x = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
        known = np.isfinite(x)
        there = len(set(groups[known].tolist()))
        for coefficient, ranks in ((pearson, False), ("spearman", True)):
            made = jackknife(x[known], y[known], groups[known], count, ranks)
            p, test = made.p, "" if math.isnan(made.p) else "jackknife"
            if alike and shuffled.possible and math.isfinite(made.value):
                p = permuted_p(x[known], y[known], shuffled.draws(known, resamples, seed), ranks)
                test = "permutation"
            n = int(known.sum())
            found.append(Correlation(name, coefficient, n, there, made.fewest, made.value, made.interval, p, test))
    return _corrected(found)


def _corrected(found: list[Correlation]) -> list[Correlation]:
    """Correct p over all rows: both coefficients are looked at, so both belong to one family."""
    chosen = [i for i, each in enumerate(found) if math.isfinite(each.p)]
    corrected = dict(zip(chosen, benjamini_hochberg(found[i].p for i in chosen), strict=True))
    return [replace(each, p_bh=corrected.get(i, math.nan)) for i, each in enumerate(found)]
