"""Correlation over rows that come in clusters: coefficients, an interval by jackknife, a permutation test.

Pearson's r, with 0/1 the point-biserial coefficient, or Spearman's rho, which is Pearson's r of mid-ranks.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.stats.clusters import numbered
from lmx_analysis.stats.intervals import LEVEL, Interval, t_critical

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]
Answers = Mapping[tuple[Hashable, Hashable], float]
FEWEST = 10
"""Clusters with other values of y than the rest below which no interval is given."""
CHUNK = 4_000_000
"""Values of rows held in memory at once (32 MB)."""
METHOD = "t of a jackknife on Fisher's scale"


@dataclass(frozen=True)
class Jackknifed:
    """A coefficient and what leaving out one cluster at a time says of it.

    Attributes:
        value: NaN where one side is constant. interval: withheld, with the reason, where it is not determined.
        fewest: clusters that differ from those of the most frequent values of y. p: two-sided; NaN where withheld.
    """

    value: float
    interval: Interval
    fewest: int
    p: float


def jackknife(x: Floats, y: Floats, clusters: Numbers, count: int, ranks: bool, level: float = LEVEL) -> Jackknifed:
    """Return a coefficient of `x` and `y`, shape ``[rows]`` each, with its interval.

    The interval is Student's t on Fisher's scale, atanh r, with the standard error of a jackknife that leaves out one
    cluster, with all its rows, at a time (B. Efron and C. Stein, Annals of Statistics 9, 1981, pages 586-596; of uneven
    clusters: J. G. MacKinnon, M. O. Nielsen and M. D. Webb, Journal of Applied Econometrics 38, 2023, pages 671-694).
    Its degrees of freedom are those of the rarer side, clusters with other values of y than the rest, less one. It is
    withheld where fewer than `FEWEST` clusters have other values than the rest; p is not.

    Args:
        clusters: of each row, numbers from 0 to `count` - 1; some may have no row.
        ranks: Spearman's rho, its ranks made anew without each cluster; else Pearson's r.
    """
    weights = np.vstack([np.ones(count), 1.0 - np.eye(count)])
    r = (_spearman if ranks else _pearson)(x, y, clusters, weights)
    there, fewest = len(set(clusters.tolist())), _fewest(y, clusters)
    value, p = float(r[0]) if len(r) else math.nan, math.nan
    if fewest < 2:
        return Jackknifed(value, Interval.none("fewer than two documents differ from the rest", METHOD), fewest, p)
    if np.isnan(r).any():
        why = "one side does not vary, or would not without one of the documents"
        return Jackknifed(value, Interval.none(why, METHOD), fewest, p)
    if not (np.abs(r) < 1 - 1e-9).all():
        why = "the correlation is perfect, or would be without one of the documents"
        return Jackknifed(value, Interval.none(why, METHOD), fewest, p)
    z = np.arctanh(r)
    se = math.sqrt((there - 1) / there * float(((z[1:] - z[0]) ** 2).sum()))
    if se <= 1e-12:
        return Jackknifed(value, Interval.none("no document makes a difference", METHOD), fewest, p)
    p = 2 * float(stats.t.sf(abs(z[0]) / se, fewest - 1))
    if fewest < FEWEST:
        why = f"fewer than {FEWEST} documents differ from the rest"
        return Jackknifed(value, Interval.none(why, METHOD), fewest, p)
    half = t_critical(fewest - 1, level) * se
    return Jackknifed(value, Interval(math.tanh(z[0] - half), math.tanh(z[0] + half), level, METHOD), fewest, p)


def _fewest(y: Floats, clusters: Numbers) -> int:
    """Return how many clusters have other values than the most frequent ones."""
    if not y.size:
        return 0
    answers: dict[int, set[float]] = {}
    for group, value in zip(clusters.tolist(), y.tolist(), strict=True):
        answers.setdefault(group, set()).add(value)
    kinds = [frozenset(each) for each in answers.values()]
    return len(kinds) - max(kinds.count(kind) for kind in set(kinds))


def _pearson(x: Floats, y: Floats, clusters: Numbers, weights: Floats) -> Floats:
    """Return r for each row of cluster weights, from sums over clusters."""
    x, y = _standardised(x), _standardised(y)
    columns = np.stack(
        [
            np.bincount(clusters, weights=each, minlength=weights.shape[1])
            for each in (np.ones_like(x), x, y, x * x, y * y, x * y)
        ],
        axis=1,
    )
    n, sx, sy, sxx, syy, sxy = (weights @ columns).T
    return _ratio(n * sxy - sx * sy, n * sxx - sx**2, n * syy - sy**2)


def _spearman(x: Floats, y: Floats, clusters: Numbers, weights: Floats) -> Floats:
    """Return rho for each row of cluster weights: Pearson's r of the weighted mid-ranks."""
    _, of_x = np.unique(x, return_inverse=True)
    _, of_y = np.unique(y, return_inverse=True)
    found = np.empty(len(weights))
    for row, each in enumerate(weights):
        w = each[clusters]
        a, b = (_midranks(inverse, w) for inverse in (of_x, of_y))
        n = w.sum()
        if n == 0:
            found[row] = math.nan
            continue
        a, b = a - (w @ a) / n, b - (w @ b) / n
        found[row] = _ratio(np.array([w @ (a * b)]), np.array([w @ (a * a)]), np.array([w @ (b * b)]))[0]
    return found


def _midranks(inverse: Numbers, w: Floats) -> Floats:
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


class Shuffled:
    """The correctness of rows after documents have exchanged all of their answers.

    If a statistic has nothing to do with correctness, a document's answers (one for each text: setting, seed, repeat)
    might as well be another document's. So they are permuted, each document's together and text for text, among the
    documents that have the same texts. The test is exact for any number of errors; what it tests is that correctness is
    independent of the statistic and of the number of consultations both.

    Attributes:
        possible: whether any document can change places with one that has other answers.
    """

    def __init__(self, documents: Sequence[Hashable], texts: Sequence[Hashable], answers: Answers) -> None:
        """Take the document and the text of each row, and the correctness of every text, with rows or without."""
        names = list(dict.fromkeys(document for document, _ in answers))
        labels = list(dict.fromkeys(text for _, text in answers))
        place, slot = ({name: number for number, name in enumerate(each)} for each in (names, labels))
        self.table = np.full((len(names), len(labels)), np.nan)
        for (document, text), value in answers.items():
            self.table[place[document], slot[text]] = value
        self.document = np.array([place[each] for each in documents], dtype=np.intp)
        self.text = np.array([slot[each] for each in texts], dtype=np.intp)
        self.strata = numbered([tuple(row) for row in np.isnan(self.table).tolist()])
        self.possible = any(
            len(np.unique(self.table[self.strata == stratum], axis=0)) > 1 for stratum in np.unique(self.strata)
        )

    def draws(self, rows: NDArray[np.bool_], count: int, seed: int) -> Iterator[Floats]:
        """Yield the correctness of chosen rows under permutations, in pieces of shape ``[permutations, rows]``."""
        rng = np.random.default_rng(seed)
        document, text = self.document[rows], self.text[rows]
        step = max(1, CHUNK // max(document.size, len(self.table), 1))
        for start in range(0, count, step):
            size = min(step, count - start)
            order = np.tile(np.arange(len(self.table)), (size, 1))
            for stratum in np.unique(self.strata):
                members = np.flatnonzero(self.strata == stratum)
                order[:, members] = members[np.argsort(rng.random((size, members.size)), axis=1)]
            yield self.table[order[:, document], text]


def _with_each(x: Floats, y: Floats) -> Floats:
    """Return r of `x`, shape ``[rows]``, with each row of `y`, ``[draws, rows]``; 0 where one is constant."""
    a, b = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((a @ a) * (b * b).sum(axis=1))
    return np.divide(b @ a, scale, out=np.zeros(len(y)), where=scale > 1e-9 * max(float(np.abs(x).max()), 1e-300))


def permuted_p(x: Floats, observed: Floats, draws: Iterator[Floats], ranks: bool) -> float:
    """Return the two-sided p: the share of draws whose \\|r\\| is as large as observed, one added to both counts."""
    if ranks:
        x = stats.rankdata(x)
    reached, count = 1, 1
    least = abs(float(_with_each(x, _ranked(observed[None], ranks))[0])) * (1 - 1e-9)
    for each in draws:
        reached += int((np.abs(_with_each(x, _ranked(each, ranks))) >= least).sum())
        count += len(each)
    return reached / count


def _ranked(y: Floats, ranks: bool) -> Floats:
    return stats.rankdata(y, axis=1) if ranks else y
