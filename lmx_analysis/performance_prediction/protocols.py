"""Which tasks are learned from and which are predicted.

``published``: ten random splits of 80, 10 and 10 % (train, development, test), seeds 42 to 51, the settings that are
best on the development tasks. Tasks that were made of one data set, or have nearly the same definition, fall on both
sides.

``source`` and ``category``: K folds, every task predicted once by what has seen no task of its group. Tasks of one
source data set (or category) and tasks with nearly the same definition are one group.

``task``: the same with near-duplicate definitions as the only groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.performance_prediction.data import Row
from lmx_files.errors import UserError, unknown

PROTOCOLS = ("source", "category", "task", "published")
PUBLISHED_SEEDS = tuple(range(42, 52))
NEAR = 0.8
"""Jaccard similarity of two definitions' words at and above which they count as one."""
FOLDS = 10
_WORD = re.compile(r"\w+")
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Numbers of the tasks to learn from, to choose settings by, and to predict. `seed` and `fold` name the split."""

    seed: int
    fold: int
    train: Indices
    dev: Indices
    test: Indices


def near_duplicates(definitions: Sequence[str], near: float = NEAR) -> list[int]:
    """Return the group of each definition: the first one that it is linked to by pairs of Jaccard similarity >= `near`.

    Words are runs of letters, digits and underscores, without case; Jaccard is shared words over all words of a pair.
    """
    words = [frozenset(_WORD.findall(text.lower())) for text in definitions]
    pairs = []
    for i, one in enumerate(words):
        for j in range(i):
            shared = len(one & words[j])
            if shared >= near * (len(one) + len(words[j]) - shared):
                pairs.append((j, i))
    return _linked(len(words), pairs)


def groups_of(rows: Sequence[Row], protocol: str, near: float = NEAR) -> list[int]:
    """Return the number of each task's group under a protocol, 0 to groups - 1."""
    pairs = list(enumerate(near_duplicates([row.definition for row in rows], near)))
    marks: Iterable[tuple[int, str]] = ()
    if protocol == "source":
        marks = ((i, source) for i, row in enumerate(rows) for source in row.sources)
    elif protocol == "category":
        marks = ((i, row.category) for i, row in enumerate(rows))
    first: dict[str, int] = {}
    pairs += [(first.setdefault(mark, i), i) for i, mark in marks]
    linked = _linked(len(rows), pairs)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(each, len(numbers)) for each in linked]


def splits(
    rows: Sequence[Row], protocol: str, seeds: Sequence[int] = (), folds: int = FOLDS, near: float = NEAR
) -> list[Split]:
    """Return the splits of a protocol.

    Args:
        seeds: of the shuffling; the published protocol has 42 to 51 where none are named, the others 42.
        folds: of the other protocols, at most one a group; 0 leaves out each group by itself.
        near: what two definitions must share to be one, see `near_duplicates`.

    Raises:
        UserError: an unknown protocol, or too few tasks or groups.
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if len(rows) < 10:
        raise UserError(f"{len(rows)} tasks are too few to learn from and to judge by: at least 10 are needed")
    if protocol == "published":
        return [_published(len(rows), seed) for seed in (seeds or PUBLISHED_SEEDS)]
    groups = np.array(groups_of(rows, protocol, near))
    count = int(groups.max()) + 1
    if count < 3:
        raise UserError(
            f"the {len(rows)} tasks form {count} group(s) of one {protocol} or nearly one definition, and at least 3 "
            f"are needed to leave one out: choose another --protocol, or a --near above {near:g}"
        )
    found = []
    for seed in seeds or (42,):
        for fold, test in enumerate(_folds(groups, count if folds == 0 else min(max(folds, 2), count), seed)):
            rest = np.setdiff1d(np.arange(len(rows)), test)
            found.append(Split(seed, fold, *_with_dev(rest, groups, seed + 1000 * (fold + 1)), test))
    return found


def _published(count: int, seed: int) -> Split:
    """Split as the study does: train_test_split twice, on one stream of numpy's older generator begun with the seed.

    The tasks must be in the study's order (that of its CSV file) for the splits to be its own.
    """
    from sklearn.model_selection import train_test_split

    stream = np.random.RandomState(seed)
    train, rest = train_test_split(np.arange(count), train_size=0.8, random_state=stream)
    dev, test = train_test_split(rest, train_size=0.5, random_state=stream)
    return Split(seed, 0, np.sort(train), np.sort(dev), np.sort(test))


def _folds(groups: Indices, folds: int, seed: int) -> list[Indices]:
    """Return folds of whole groups, about equal: the largest first, each into the smallest fold, ties at random."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(groups)
    order = rng.permutation(sizes.size)
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds)
    place = np.zeros(sizes.size, dtype=np.intp)
    for group in order:
        smallest = np.flatnonzero(filled == filled.min())
        place[group] = rng.choice(smallest)
        filled[place[group]] += sizes[group]
    return [np.flatnonzero(place[groups] == fold) for fold in range(folds)]


def _with_dev(rest: Indices, groups: Indices, seed: int) -> tuple[Indices, Indices]:
    """Set whole groups aside, about an eighth of the tasks, for those predictors that choose settings by them."""
    rng = np.random.default_rng(seed)
    dev: list[int] = []
    for group in rng.permutation(np.unique(groups[rest])):
        members = rest[groups[rest] == group]
        if len(dev) + members.size <= max(1, rest.size // 8 + 1):
            dev += members.tolist()
    chosen = np.sort(np.array(dev, dtype=np.intp))
    return np.setdiff1d(rest, chosen), chosen


def _linked(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return the least member of each one's connected component."""
    root = list(range(count))

    def top(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, j in pairs:
        a, b = sorted((top(i), top(j)))
        root[b] = a
    return [top(i) for i in range(count)]
