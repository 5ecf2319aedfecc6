"""The word lists of the counting tasks, and what a list must be like.

Two sets are shipped: ``tiny``, which the tiny family of models was trained on and which never changes, and ``full``.
A document names its set in the field ``lists``; one that does not is of ``tiny``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lmx_files.errors import UserError, unknown

DATA = Path(__file__).parent / "data"
LISTS = {"tiny": DATA / "categories.json", "full": DATA / "words.json"}
DEFAULT_LISTS = "tiny"
"""Of a document that does not say: those of before there were others."""
WORD = re.compile(r"[a-z]{2,}")


@dataclass(frozen=True)
class Category:
    """A named set of words; `plural` is what a question asks for."""

    name: str
    plural: str
    words: tuple[str, ...]


@lru_cache(maxsize=len(LISTS))
def load_categories(lists: str = DEFAULT_LISTS) -> tuple[Category, ...]:
    """Read a shipped set of word lists, ``tiny`` or ``full``.

    Raises:
        UserError: there is no such set. ValueError: its lists are not clean and disjoint.
    """
    if lists not in LISTS:
        raise unknown("word lists", lists, LISTS)
    path = LISTS[lists]
    raw = json.loads(path.read_text(encoding="utf-8"))
    categories = tuple(Category(c["name"], c["plural"], tuple(c["words"])) for c in raw["categories"])
    faults = check_categories(categories)
    if faults:
        raise ValueError(f"{path.name}: " + "; ".join(faults))
    return categories


def category(name: str, lists: str | None, where: str) -> Category:
    """Return the category `name` of a document, as the lists that its field ``lists`` names have it.

    Raises:
        UserError: no such lists, or no such category in them; `where` says which document.
    """
    chosen = DEFAULT_LISTS if lists is None else lists
    if chosen not in LISTS:
        raise UserError(
            f"{where}: its words are of {f'the lists {chosen!r}' if chosen else 'no lists'}, not of those shipped "
            f"({', '.join(LISTS)})"
        )
    found = by_name(chosen)
    if name not in found:
        raise UserError(
            f"{where}: no category {name!r} in the word lists {chosen!r}. Is it a run of a category_counting task?"
        )
    return found[name]


@lru_cache(maxsize=len(LISTS))
def by_name(lists: str = DEFAULT_LISTS) -> dict[str, Category]:
    """Return the categories of a shipped set by their names."""
    return {each.name: each for each in load_categories(lists)}


@lru_cache(maxsize=len(LISTS))
def owners(lists: str = DEFAULT_LISTS) -> dict[str, str]:
    """Return for each word of a shipped set the name of its category; a word has one."""
    return {word: each.name for each in load_categories(lists) for word in each.words}


def check_categories(categories: Iterable[Category], minimum: int = 30) -> list[str]:
    """Return every fault of the word lists as a sentence; an empty list means they are clean.

    A word must be one lower-case English word, and stand once, in one category; a category must
    have at least `minimum` words.
    """
    faults: list[str] = []
    owner: dict[str, str] = {}
    for each in categories:
        if len(each.words) < minimum:
            faults.append(f"{each.name}: {len(each.words)} words, fewer than {minimum}")
        for word in each.words:
            if not WORD.fullmatch(word):
                faults.append(f"{each.name}: {word!r} is not a single lower-case word")
            if word in owner:
                faults.append(f"{word!r} stands in {owner[word]} and in {each.name}")
            owner[word] = each.name
    return faults
