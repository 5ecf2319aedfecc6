"""The question of a logged prompt over another list: unrelated words with a count of one's choice."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from lmx_files.errors import UserError
from lmx_tasks.category_counting.pairs import Listed, with_words
from lmx_tasks.category_counting.words import load_categories


def relisted(
    question: Listed, flags: Sequence[bool], rng: random.Random, half: int | None = None, avoid: Collection[str] = ()
) -> Listed:
    """Return the question with other words: of its category where `flags` says so, of others elsewhere.

    Where more are wanted of the category than it has words to give, as many as it has stand at random ones of the
    wanted places, and words of others at the rest: `Listed.members` says what came of it.

    Args:
        half: draw from this half of each word list only, 0 or 1, so that words can be held out.
        avoid: words that may not come.

    Raises:
        UserError: the other categories have too few words for the list.
    """
    pools = {category.name: _half(category.words, half) for category in load_categories(question.lists)}
    others = [name for name in pools if name != question.category]
    taken = set(avoid)
    flags = _at_most(flags, sum(word not in taken for word in pools[question.category]), rng)
    words: list[str] = []
    for flag in flags:
        names = [question.category] if flag else _with_room(pools, others, taken)
        if not names:
            raise UserError(
                f"document {question.doc_id}: the word lists {question.lists!r} have too few words for another list of "
                f"{len(flags)}"
            )
        words.append(_drawn(pools, names, taken, rng))
        taken.add(words[-1])
    return with_words(question, words)


def _with_room(pools: dict[str, Sequence[str]], names: Sequence[str], taken: Collection[str]) -> list[str]:
    return [name for name in names if any(word not in taken for word in pools[name])]


def _drawn(pools: dict[str, Sequence[str]], names: Sequence[str], taken: Collection[str], rng: random.Random) -> str:
    """Return a word that is not taken; each of the pools has one, so drawing again ends."""
    while True:
        word = rng.choice(pools[names[0] if len(names) == 1 else rng.choice(names)])
        if word not in taken:
            return word


def _at_most(flags: Sequence[bool], most: int, rng: random.Random) -> Sequence[bool]:
    """Return the flags with no more than `most` of them set, chance deciding which."""
    wanted = [k for k, flag in enumerate(flags) if flag]
    if len(wanted) <= most:
        return flags
    kept = set(rng.sample(wanted, most))
    return [k in kept for k in range(len(flags))]


def _half(words: Sequence[str], half: int | None) -> Sequence[str]:
    """Return every other word, so that both halves are alike in whatever orders the lists."""
    return words if half is None else sorted(words)[half::2]
