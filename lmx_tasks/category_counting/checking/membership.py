"""Is a word one of a category? The shipped lists say yes, no, or cannot say; then a model is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lmx_metrics.yes_no import parse_yes_no
from lmx_tasks.category_counting.making.proposals import singular
from lmx_tasks.category_counting.words import LISTS, load_categories, owners

Pair = tuple[str, str]
"""A category's plural and a word."""
Ask = Callable[[Sequence[str]], list[str]]
PROMPT = 'Consider the word "{word}". Is it one of these: {plural}? Answer with yes or no only.'
BATCH = 64
"""Questions that are put to the model at once, so that progress can be shown."""


def by_lists(plural: str, word: str, lists: str = "") -> bool | None:
    """Return whether the lists know a word as one of a category; None where they cannot say.

    Args:
        plural: the category's name or plural, in any case. lists: the set to look in first.

    A word of a list is in no other category of the same set, for no word stands in two and none is ambiguous among
    them. Of a word or a category that is in no list nothing is known.
    """
    order = sorted(LISTS, key=lambda name: (name != lists, name != "full"))
    for name in order:
        asked = _category(plural.casefold(), name)
        owner = owners(name).get(word.casefold())
        if asked is not None and owner is not None:
            return owner == asked
    return None


def ask_model(
    ask: Ask,
    pairs: Sequence[Pair],
    progress: Callable[[Sequence[Any]], Iterable[Any]],
    keep: Callable[[Iterable[Mapping[str, Any]]], None] = lambda _: None,
) -> dict[Pair, Any]:
    """Return for each pair what a model answers: ``{"member": True, False or None (unparsed), "raw"}``.

    Args:
        keep: gets the answers as they come, each with its `category` and `word`.
    """
    found: dict[Pair, Any] = {}
    batches = [pairs[k : k + BATCH] for k in range(0, len(pairs), BATCH)]
    for batch in progress(batches):
        texts = ask([PROMPT.format(word=word, plural=plural) for plural, word in batch])
        for (plural, word), text in zip(batch, texts, strict=True):
            found[plural, word] = {"member": parse_yes_no(finished(text), word, plural, plural), "raw": text}
        keep({"category": plural, "word": word, **found[plural, word]} for plural, word in batch)
    return found


def finished(text: str) -> str:
    """Return an answer without the sentence at its end that was cut off, which says nothing yet."""
    whole = re.match(r"(?s)(.*[.!?\n])", text.rstrip(" "))
    return whole[1] if whole else text


@lru_cache(maxsize=4096)
def _category(asked: str, lists: str) -> str | None:
    """Return the name of the category that a name or a plural means."""
    forms = {asked, singular(asked)}
    return next((each.name for each in load_categories(lists) if forms & {each.name, each.plural.casefold()}), None)
