"""Invented words: pronounceable, and in no dictionary.

The words are shipped (`data/nonce.txt`), so that they can be checked: a test looks each of them up in WordNet. They
were made by `invent`, from syllables that English has.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "nonce.txt"
ONSETS = (
    "b", "bl", "br", "d", "dr", "f", "fl", "fr", "g", "gl", "gr", "j", "k", "kl", "kr", "l", "m", "n", "p", "pl", "pr",
    "r", "s", "sk", "sl", "sm", "sn", "sp", "st", "t", "tr", "v", "w", "y", "z",
)  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u")
CODAS = (
    "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "t", "v", "x", "z", "ck", "ft", "lf", "lk", "lm", "lp", "mp",
    "nd", "nk", "nt", "rb", "rd", "rk", "rm", "rn", "rt", "sk",
)  # fmt: skip


def invent(n: int, seed: int, is_word: Callable[[str], bool]) -> list[str]:
    """Return `n` different words of one or two syllables, 4 to 8 letters, of which `is_word` says that none is one."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < n:
        first = rng.choice(ONSETS) + rng.choice(VOWELS)
        word = first + (rng.choice(ONSETS) + rng.choice(VOWELS) if rng.random() < 0.7 else "") + rng.choice(CODAS)
        if 4 <= len(word) <= 8 and not is_word(word):
            found[word] = None
    return sorted(found)


@lru_cache(maxsize=1)
def words() -> tuple[str, ...]:
    """Return the shipped words."""
    return tuple(FILE.read_text(encoding="utf-8").split())
