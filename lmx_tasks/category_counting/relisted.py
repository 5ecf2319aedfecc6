"""The question of a logged prompt over another list: unrelated words with a count of one's choice."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from lmx_tasks.category_counting.pairs import Listed, with_words
from lmx_tasks.category_counting.words import load_categories


def relisted(
    question: Listed, flags: Sequence[bool], rng: random.Random, half: int | None = None, avoid: Collection[str] = ()
) -> Listed:
    """Return the question with other words: of its category where `flags` says so, of others elsewhere.

    Args:
        half: draw from this half of each word list only, 0 or 1, so that words can be held out.
        avoid: words that may not come.
    """
    pools = {category.name: _half(category.words, half) for category in load_categories(question.lists)}
    others = [name for name in pools if name != question.category]
    words: list[str] = []
    for flag in flags:
        while True:
            pool = pools[question.category if flag else rng.choice(others)]
            word = rng.choice(pool)
            if word not in words and word not in avoid:
                words.append(word)
                break
    return with_words(question, words)


def _half(words: Sequence[str], half: int | None) -> Sequence[str]:
    """Return every other word, so that both halves are alike in whatever orders the lists."""
    return words if half is None else sorted(words)[half::2]
