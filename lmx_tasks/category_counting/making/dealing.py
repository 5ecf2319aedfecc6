"""Which words an item gets: all words equally often, and no sign of the count in what the words look like.

Categories differ in how long, how rare and how well known their words are. Were the words outside the category drawn at
large, a list with more words of one category would look more alike. So each of them takes the place of a word of the
asked category that might have stood there, and looks like it (`matching.py`): whatever the count, a list looks like
one of its category's words.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.design import Slot
from lmx_tasks.category_counting.making.matching import Place, Progress, by_length, by_stand_ins
from lmx_tasks.category_counting.words import Category


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


def fill(
    rng: random.Random,
    slots: Sequence[Slot],
    categories: Sequence[Category],
    stand_ins: Mapping[str, Sequence[str]] | None = None,
    progress: Progress = iter,
) -> list[list[str]]:
    """Return the words of each slot's list, in random order.

    Args:
        stand_ins: for each word, those of other categories that look like it; without them words are matched by length.
        progress: wraps a sequence while it is worked on.

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
        need, room = slot.length - slot.count, len(categories[slot.category].words) - slot.count
        while len(shown) < need:  # more than once round where a list is longer than its category
            if room:
                shown += shapes[slot.category].draw(min(need - len(shown), room), set(inside))
            else:  # all words of the category are in the list, so each may be looked like
                shown += inside[: need - len(shown)]
        places += [Place(number, slot.category, word) for word in shown]
    owner = {word: number for number, each in enumerate(categories) for word in each.words}
    chosen = by_stand_ins(rng, places, owner, stand_ins, progress) if stand_ins else by_length(rng, places, owner)
    for place, word in zip(places, chosen, strict=True):
        lists[place.item].append(word)
    for words in lists:
        rng.shuffle(words)
    return lists


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
