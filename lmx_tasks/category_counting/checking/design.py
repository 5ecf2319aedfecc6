"""How flat a set is, how evenly it uses its words, and whether what a list looks like tells its count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from lmx_tasks.category_counting.checking.surface import features, out_of_fold_r2
from lmx_tasks.category_counting.making.systematic import Doc
from lmx_tasks.category_counting.words import LISTS, by_name, owners

FEWEST = 300
"""Items below which no regression of the count is tried."""


def design_of(docs: Sequence[Doc]) -> dict[str, Any]:
    """Return the set's design in numbers.

    Cells of length and count are those that occur, and those of a category and a count too: a category that has no
    item of a count that others have counts as 0 items.
    """
    counts = {doc["count"] for doc in docs}
    categories = {doc["category"] for doc in docs}
    cells = Counter((len(doc["words"]), doc["count"]) for doc in docs)
    by_category = Counter((doc["category"], doc["count"]) for doc in docs)
    spreads = [_spread(by_category[name, count] for name in categories) for count in counts]
    return {
        "cells": len(cells),
        "largest_difference_of_cells": _spread(cells.values()),
        "largest_difference_of_categories_in_a_count": max(spreads, default=0),
        "word_use": _word_use(docs),
        "surface_r2": _surface(docs),
        "positions": _shares(str(doc.get("position") or "before") for doc in docs),
        "formats": _shares(str(doc.get("format") or "comma") for doc in docs),
    }


def _word_use(docs: Sequence[Doc]) -> dict[str, Any]:
    """Return how far a word's use is from its category's mean, as a share of the mean, over the lists that were used.

    Words of a model's are left out: a document does not say whose category its other words are.
    """
    use: dict[str, Counter[str]] = {name: Counter() for name in LISTS}
    for doc in docs:
        if (lists := doc.get("lists", "tiny")) in LISTS:
            use[lists].update(doc["words"])
    distances: dict[str, float] = {}
    for lists, counts in use.items():
        if not counts:
            continue
        means = {n: sum(counts[w] for w in each.words) / len(each.words) for n, each in by_name(lists).items()}
        for word, owner in owners(lists).items():
            if means[owner]:
                distances[word] = counts[word] / means[owner] - 1
    worst = max(distances, key=lambda word: abs(distances[word]), default=None)
    total = sum(sum(counts.values()) for counts in use.values())
    return {
        "mean": total / len(distances) if distances else None,
        "largest_distance": abs(distances[worst]) if worst else None,
        "word": worst,
    }


def _surface(docs: Sequence[Doc]) -> float | None:
    """Return the out-of-fold R2 of counts from characters and vowels of the words; None for a small set."""
    if len(docs) < FEWEST or len({doc["count"] for doc in docs}) < 2:
        return None
    words = {word for doc in docs for word in doc["words"]}
    looks = {word: (len(word), sum(letter in "aeiou" for letter in word)) for word in words}
    rows = [{"words": doc["words"], "length": len(doc["words"]), "count": doc["count"]} for doc in docs]
    return out_of_fold_r2(features(rows, looks), rows)


def _spread(values: Iterable[int]) -> int:
    listed = list(values)
    return max(listed) - min(listed) if listed else 0


def _shares(values: Iterable[Hashable]) -> dict[str, int]:
    return {str(name): n for name, n in sorted(Counter(values).items(), key=str)}
