"""Which words an item gets: all words equally often, and no sign of the count in how long the words are.

Categories differ in how long their words are. Were the words outside the category drawn at large, a list with more
words of one category would stand out by its lengths. So each of them is drawn to match a word of the asked category
that might have stood in its place: the lengths of a list's words are those of its category's, whatever the count.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.design import Slot
from lmx_tasks.category_counting.words import Category

Surface = Callable[[str], tuple[float, ...]]
REACH = 4_000
"""How far along the order of lengths a word is looked for that may change places with one that does not fit."""


class Deck:
    """Words that are dealt one by one: shuffled anew when all have been, and passed over, not lost, when refused."""

    def __init__(self, words: Sequence[str], rng: random.Random) -> None:
        self._words, self._rng, self._left = words, rng, list[str]()

    def draw(self, n: int, refused: set[str]) -> list[str]:
        """Return `n` different words, none of `refused`; there must be as many."""
        found: list[str] = []
        at = 0
        while len(found) < n:
            if at == len(self._left):
                self._left += self._rng.sample(self._words, len(self._words))
            word = self._left[at]
            if word in refused or word in found:
                at += 1
            else:
                found.append(self._left.pop(at))
        return found


Place = tuple[tuple[float, ...], float, int]
"""Where a word outside the category is wanted: the surface it should have, chance, the slot's number."""


def fill(
    rng: random.Random, slots: Sequence[Slot], categories: Sequence[Category], surface: Surface
) -> list[list[str]]:
    """Return the words of each slot's list, in random order.

    Args:
        surface: what a word shows without being understood, by which words outside the category are matched.

    Raises:
        UserError: a category has fewer words than a count, or the others together fewer than a list needs.
    """
    _check(slots, categories)
    targets = [Deck(each.words, rng) for each in categories]
    shapes = [Deck(each.words, rng) for each in categories]
    lists: list[list[str]] = []
    places: list[Place] = []
    for number, slot in enumerate(slots):
        inside = targets[slot.category].draw(slot.count, set())
        lists.append(inside)
        shown: list[str] = []
        room = len(categories[slot.category].words) - slot.count
        while room and len(shown) < slot.length - slot.count:  # more than once where a list is longer than its category
            shown += shapes[slot.category].draw(min(slot.length - slot.count - len(shown), room), set(inside))
        shown += inside[: slot.length - slot.count - len(shown)]
        places += [(surface(word), rng.random(), number) for word in shown]
    places.sort()
    for (_, _, number), word in zip(places, _matched(rng, places, slots, categories, surface), strict=True):
        lists[number].append(word)
    for words in lists:
        rng.shuffle(words)
    return lists


def _matched(
    rng: random.Random, places: Sequence[Place], slots: Sequence[Slot], categories: Sequence[Category], surface: Surface
) -> list[str]:
    """Return a word for each of the sorted places: both in order of surface, then exchanged where they clash."""
    owner = {word: number for number, each in enumerate(categories) for word in each.words}
    whole, rest = divmod(len(places), len(owner))
    words = sorted([*owner] * whole + rng.sample([*owner], rest), key=lambda word: (surface(word), rng.random()))
    at = [number for _, _, number in places]
    has = Counter(zip(at, words, strict=True))

    def fits(index: int, word: str) -> bool:
        return owner[word] != slots[at[index]].category and not has[at[index], word]

    for index, word in enumerate(words):
        if owner[word] != slots[at[index]].category and has[at[index], word] == 1:
            continue
        has[at[index], word] -= 1
        other = next((j for j in _around(index, len(words)) if fits(index, words[j]) and fits(j, word)), None)
        if other is None:
            words[index] = rng.choice([each for each in owner if fits(index, each)])
        else:
            has[at[other], words[other]] -= 1
            words[index], words[other] = words[other], word
            has[at[other], word] += 1
        has[at[index], words[index]] += 1
    return words


def _around(index: int, n: int) -> Iterator[int]:
    """Yield the neighbours of an index, near ones first."""
    for step in range(1, REACH):
        if index + step < n:
            yield index + step
        if index >= step:
            yield index - step


def _check(slots: Sequence[Slot], categories: Sequence[Category]) -> None:
    total = sum(len(each.words) for each in categories)
    for slot in slots:
        asked = categories[slot.category]
        if slot.count > len(asked.words):
            raise UserError(
                f"a count of {slot.count}: {asked.name} has {len(asked.words)} words. Ask for smaller counts"
            )
        if slot.length - slot.count > total - len(asked.words):
            raise UserError(
                f"a list of {slot.length} words with {slot.count} of {asked.name}: the other categories have "
                f"{total - len(asked.words)} words. Ask for shorter lists"
            )
