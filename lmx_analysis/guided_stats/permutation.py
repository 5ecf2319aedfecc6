"""A permutation test of a correlation with correctness: whole documents change places."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.stats import numbered

CHUNK = 4_000_000
"""Values of rows held in memory at once (32 MB)."""
Floats = NDArray[np.float64]
Answers = Mapping[tuple[Hashable, Hashable], float]


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


def pearson(x: Floats, y: Floats) -> Floats:
    """Return r of `x`, shape ``[rows]``, with each row of `y`, ``[draws, rows]``; 0 where one is constant."""
    a, b = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((a @ a) * (b * b).sum(axis=1))
    return np.divide(b @ a, scale, out=np.zeros(len(y)), where=scale > 1e-9 * max(float(np.abs(x).max()), 1e-300))


def p_value(x: Floats, observed: Floats, draws: Iterator[Floats], ranks: bool) -> float:
    """Return the two-sided p: the share of draws whose \\|r\\| is as large as observed, one added to both counts."""
    if ranks:
        x = stats.rankdata(x)
    reached, count = 1, 1
    least = abs(float(pearson(x, _ranked(observed[None], ranks))[0])) * (1 - 1e-9)
    for each in draws:
        reached += int((np.abs(pearson(x, _ranked(each, ranks))) >= least).sum())
        count += len(each)
    return reached / count


def _ranked(y: Floats, ranks: bool) -> Floats:
    return stats.rankdata(y, axis=1) if ranks else y
