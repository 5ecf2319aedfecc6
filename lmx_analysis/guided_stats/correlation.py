"""Correlation of each statistic with correctness, with intervals that know that texts are not independent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.guided_stats.permutation import Answers, Shuffled, p_value
from lmx_analysis.stats import LEVEL, benjamini_hochberg, numbered

Floats = NDArray[np.float64]
FEWEST = 10
"""Documents with other answers than the rest below which no interval is given."""


@dataclass(frozen=True)
class Correlation:
    """One coefficient of one statistic with correctness.

    Attributes:
        coefficient: ``point-biserial`` (Pearson's r with 0/1), ``pearson`` or ``spearman``. n: consultations.
        clusters: documents. fewest: documents that differ from the most frequent answers; few errors, or few right.
        low, high: 95 % interval; NaN where not determined.
        p: two-sided. test: where it comes from, ``permutation`` or ``jackknife``.
        p_bh: corrected over all rows, statistics and coefficients together (Benjamini and Hochberg, 1995).
    """

    measure: str
    coefficient: str
    n: int
    clusters: int
    fewest: int
    value: float
    low: float
    high: float
    p: float
    test: str
    p_bh: float = math.nan


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

    p comes from permuting correctness over documents (`permutation`), which is exact also where few answers are wrong;
    where no permutation is possible it comes from the interval's t. The interval is Student's t on Fisher's scale,
    atanh r, with the standard error of a jackknife that leaves out one document (with all its consultations, texts and
    seeds) at a time (B. Efron and C. Stein, Annals of Statistics 9, 1981, pages 586-596; for uneven clusters: J. G.
    MacKinnon, M. O. Nielsen and M. D. Webb, Journal of Applied Econometrics 38, 2023, pages 671-694). Its degrees of
    freedom are those of the rarer side, documents with other answers than the rest, less one. Spearman's ranks are made
    anew each time. It is withheld where fewer than `FEWEST` documents have other answers than the rest.

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
    weights = np.vstack([np.ones(count), 1.0 - np.eye(count)])
    pearson = "point-biserial" if set(y.tolist()) <= {0.0, 1.0} else "pearson"
    found: list[Correlation] = []
    for name, values in columns.items():
        x = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
        known = np.isfinite(x)
        for coefficient, draw in ((pearson, _pearson), ("spearman", _spearman)):
            r = draw(x[known], y[known], groups[known], weights)
            each = _summary(name, coefficient, y[known], groups[known], r)
            if alike and shuffled.possible and math.isfinite(each.value):
                draws = shuffled.draws(known, resamples, seed)
                p = p_value(x[known], y[known], draws, coefficient == "spearman")
                each = replace(each, p=p, test="permutation")
            found.append(each)
    return _corrected(found)


def _summary(measure: str, coefficient: str, y: Floats, groups: NDArray[np.intp], r: Floats) -> Correlation:
    clusters, fewest = len(set(groups.tolist())), _fewest(y, groups)
    result = Correlation(
        measure, coefficient, y.size, clusters, fewest, float(r[0]) if len(r) else math.nan, math.nan, math.nan,
        math.nan, "",
    )  # fmt: skip
    if fewest < 2 or not (np.abs(r) < 1 - 1e-9).all():  # NaN, where one side is constant, is not below either
        return result
    z = np.arctanh(r)
    se = math.sqrt((clusters - 1) / clusters * float(((z[1:] - z[0]) ** 2).sum()))
    if se <= 1e-12:
        return result
    df = fewest - 1
    result = replace(result, p=2 * float(stats.t.sf(abs(z[0]) / se, df)), test="jackknife")
    if fewest < FEWEST:
        return result
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * se
    return replace(result, low=math.tanh(z[0] - half), high=math.tanh(z[0] + half))


def _fewest(y: Floats, groups: NDArray[np.intp]) -> int:
    """Return how many documents have other answers than the most frequent ones."""
    if not y.size:
        return 0
    answers: dict[int, set[float]] = {}
    for group, value in zip(groups.tolist(), y.tolist(), strict=True):
        answers.setdefault(group, set()).add(value)
    kinds = [frozenset(each) for each in answers.values()]
    return len(kinds) - max(kinds.count(kind) for kind in set(kinds))


def _corrected(found: list[Correlation]) -> list[Correlation]:
    """Correct p over all rows: both coefficients are looked at, so both belong to one family."""
    chosen = [i for i, each in enumerate(found) if math.isfinite(each.p)]
    corrected = dict(zip(chosen, benjamini_hochberg(found[i].p for i in chosen), strict=True))
    return [replace(each, p_bh=corrected.get(i, math.nan)) for i, each in enumerate(found)]


def _pearson(x: Floats, y: Floats, groups: NDArray[np.intp], weights: Floats) -> Floats:
    """Return r for each row of cluster weights, from sums over clusters."""
    x, y = _standardised(x), _standardised(y)
    columns = np.stack(
        [
            np.bincount(groups, weights=each, minlength=weights.shape[1])
            for each in (np.ones_like(x), x, y, x * x, y * y, x * y)
        ],
        axis=1,
    )
    n, sx, sy, sxx, syy, sxy = (weights @ columns).T
    return _ratio(n * sxy - sx * sy, n * sxx - sx**2, n * syy - sy**2)


def _spearman(x: Floats, y: Floats, groups: NDArray[np.intp], weights: Floats) -> Floats:
    """Return rho for each row of cluster weights: Pearson's r of the weighted mid-ranks."""
    _, of_x = np.unique(x, return_inverse=True)
    _, of_y = np.unique(y, return_inverse=True)
    found = np.empty(len(weights))
    for row, each in enumerate(weights):
        w = each[groups]
        a, b = (_midranks(inverse, w) for inverse in (of_x, of_y))
        n = w.sum()
        if n == 0:
            found[row] = math.nan
            continue
        a, b = a - (w @ a) / n, b - (w @ b) / n
        found[row] = _ratio(np.array([w @ (a * b)]), np.array([w @ (a * a)]), np.array([w @ (b * b)]))[0]
    return found


def _midranks(inverse: NDArray[np.intp], w: Floats) -> Floats:
    counts = np.bincount(inverse, weights=w)
    ranks: Floats = (np.cumsum(counts) - counts / 2)[inverse]
    return ranks


def _standardised(values: Floats) -> Floats:
    """Return values of mean 0 and variance 1, so that what counts as no variance does not depend on their unit."""
    if not values.size:
        return values
    centred = values - values.mean()
    scale = float(centred.std())
    return centred / scale if scale > 1e-12 * float(np.abs(values).max()) else np.zeros_like(values)


def _ratio(xy: Floats, xx: Floats, yy: Floats) -> Floats:
    product = np.maximum(xx, 0) * np.maximum(yy, 0)
    flat = product <= 1e-18
    return np.where(flat, np.nan, xy / np.sqrt(np.where(flat, 1.0, product)))
