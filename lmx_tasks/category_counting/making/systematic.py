"""Counting items made from word lists alone: `make` gives documents, flat by design and the same for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_tasks.category_counting.making.dealing import fill
from lmx_tasks.category_counting.making.design import Design, Slot, cells, slots
from lmx_tasks.category_counting.making.matching import Progress, load_stand_ins
from lmx_tasks.category_counting.making.templates import render, template_id
from lmx_tasks.category_counting.words import Category, load_categories

Doc = dict[str, Any]
TRIES = 20
"""Rounds in which items that came twice are drawn anew."""


def make(n: int, seed: int, design: Design | None = None, lists: str = "full", progress: Progress = iter) -> list[Doc]:
    """Return `n` documents with different questions, made from shipped word lists.

    Raises:
        UserError: the design cannot be filled from these lists, or has fewer than `n` different questions.
    """
    rng = random.Random(seed)
    categories = load_categories(lists)
    design = design or Design()
    made = slots(rng, cells(rng, n, design), design, len(categories))
    return documents(
        rng, made, categories, lists, "systematic", {"seed": seed, "words": lists_id(categories)}, progress
    )


def documents(
    rng: random.Random,
    made: Sequence[Slot],
    categories: Sequence[Category],
    lists: str,
    source: str,
    provenance: dict[str, Any],
    progress: Progress = iter,
) -> list[Doc]:
    """Return a document a slot; no two ask for one category in the same set of words.

    Args:
        lists: the set that the words are of, ``tiny`` or ``full``; "" if they are of none that is shipped.
        source: ``systematic`` or ``model``.
        provenance: stands in each document as it is.

    Raises:
        UserError: as `fill`, or there are too few different questions.
    """
    stand_ins = load_stand_ins() if lists == "full" else None
    drawn = fill(rng, made, categories, stand_ins, progress)
    for _ in range(TRIES):
        again = _repeated(made, drawn)
        if not again:
            break
        for number, words in zip(again, fill(rng, [made[k] for k in again], categories, stand_ins), strict=True):
            drawn[number] = words
    else:
        raise UserError(
            f"only {len(made) - len(again)} of {len(made)} items are different: these words and counts allow no more. "
            "Ask for fewer items, longer lists or more counts"
        )
    write = partial(_document, lists=lists, source=source, provenance=provenance)
    return [write(slot, categories[slot.category], words) for slot, words in zip(made, drawn, strict=True)]


def lists_id(categories: Sequence[Category]) -> str:
    """Return a short hash of word lists, which says whether two sets were made from the same."""
    return sha256_of_text(json.dumps([[c.name, c.plural, *c.words] for c in categories]))[:12]


def question_id(category: str, words: Sequence[str]) -> str:
    """Return a hash of a question that ignores word order and template."""
    return sha256_of_text(json.dumps([category, sorted(words)]))[:16]


def _repeated(made: Sequence[Slot], drawn: Sequence[Sequence[str]]) -> list[int]:
    seen: set[tuple[int, frozenset[str]]] = set()
    again = []
    for number, (slot, words) in enumerate(zip(made, drawn, strict=True)):
        key = (slot.category, frozenset(words))
        if key in seen:
            again.append(number)
        seen.add(key)
    return again


def _document(
    slot: Slot, category: Category, words: Sequence[str], lists: str, source: str, provenance: dict[str, Any]
) -> Doc:
    return {
        "id": question_id(category.name, words),
        "prompt": render(category.plural, words, slot.position, slot.format),
        "category": category.name,
        "plural": category.plural,
        "words": list(words),
        "count": slot.count,
        "length": slot.length,
        "position": slot.position,
        "format": slot.format,
        "template": template_id(slot.position, slot.format),
        "lists": lists,
        "source": source,
        "provenance": provenance,
    }
