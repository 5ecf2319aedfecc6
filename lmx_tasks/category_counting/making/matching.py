"""Words outside the category that look like a word of it: by stand-ins chosen beforehand, or by length."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lmx_files import jsonl
from lmx_tasks.category_counting.words import DATA, load_categories

Progress = Callable[[Sequence[Any]], Iterable[Any]]
REACH = 4_000
"""How far along the order of lengths a word is looked for that may change places with one that does not fit."""


class Place(NamedTuple):
    """Where a word outside the category is wanted.

    Attributes:
        item: number of the list. category: the asked one's number. like: the word of it that the wanted one stands for.
    """

    item: int
    category: int
    like: str


@lru_cache(maxsize=1)
def load_stand_ins() -> dict[str, tuple[str, ...]]:
    """Return the stand-ins of each word of the lists ``full`` (`scripts/counting/stand_ins.py` chose them).

    Raises:
        ValueError: they were chosen for other lists than those shipped.
    """
    raw = jsonl.read_object(DATA / "stand_ins.json")
    found = {word: tuple(names.split()) for word, names in raw["stand_ins"].items()}
    if set(found) != {word for each in load_categories("full") for word in each.words}:
        raise ValueError("stand_ins.json is not of words.json: run scripts/counting/stand_ins.py")
    return found


def by_stand_ins(
    rng: random.Random,
    places: Sequence[Place],
    owner: Mapping[str, int],
    stand_ins: Mapping[str, Sequence[str]],
    progress: Progress = iter,
) -> list[str]:
    """Return for each place the stand-in that has been used least, chance deciding among equals.

    Each word is a stand-in of equally many, so that all are used about equally often. A list that has all stand-ins of
    a word already takes the least used word outside its category.
    """
    used: Counter[str] = Counter()
    has: set[tuple[int, str]] = set()
    chosen = [""] * len(places)
    order = rng.sample(range(len(places)), len(places))
    for index in progress(order):  # a list's last place has no worse choice than its first
        place = places[index]
        able = [word for word in stand_ins[place.like] if (place.item, word) not in has]
        if not able:
            able = [w for w, number in owner.items() if number != place.category and (place.item, w) not in has]
        least = min(used[word] for word in able)
        word = rng.choice([word for word in able if used[word] == least])
        used[word] += 1
        has.add((place.item, word))
        chosen[index] = word
    return chosen


def by_length(rng: random.Random, places: Sequence[Place], owner: Mapping[str, int]) -> list[str]:
    """Return for each place a word of about as many characters; in all, each word within one use of any other.

    Places and words are put in order of length and paired; what clashes is exchanged with the nearest that does not.
    """
    order = sorted(range(len(places)), key=lambda index: (len(places[index].like), rng.random()))
    whole, rest = divmod(len(places), len(owner))
    words = sorted([*owner] * whole + rng.sample([*owner], rest), key=lambda word: (len(word), rng.random()))
    at = [places[index] for index in order]
    has = Counter((place.item, word) for place, word in zip(at, words, strict=True))

    def fits(index: int, word: str) -> bool:
        return owner[word] != at[index].category and not has[at[index].item, word]

    for index, word in enumerate(words):
        if owner[word] != at[index].category and has[at[index].item, word] == 1:
            continue
        has[at[index].item, word] -= 1
        other = next((j for j in _around(index, len(words)) if fits(index, words[j]) and fits(j, word)), None)
        if other is None:
            words[index] = rng.choice([each for each in owner if fits(index, each)])
        else:
            has[at[other].item, words[other]] -= 1
            words[index], words[other] = words[other], word
            has[at[other].item, word] += 1
        has[at[index].item, words[index]] += 1
    chosen = [""] * len(places)
    for index, word in zip(order, words, strict=True):
        chosen[index] = word
    return chosen


def _around(index: int, n: int) -> Iterator[int]:
    """Yield the neighbours of an index, near ones first."""
    for step in range(1, REACH):
        if index + step < n:
            yield index + step
        if index >= step:
            yield index - step
