"""The questions of the variants, made from counting items: same lists, same templates, another task.

Each document keeps the `id` of the item it was made from, so that a model's answers to all variants can be joined.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lmx_files.hashing import sha256_of_text
from lmx_tasks.category_counting.making.templates import DEFAULT_FORMAT, FORMATS, render
from lmx_tasks.category_counting.variants import articles, nonce
from lmx_tasks.category_counting.variants.items import with_owners

Doc = dict[str, Any]
WORDS_A_PART, MOST_PARTS = 4, 10
LENGTH = "How many words are in this list?\n"
PARTS = (
    "How many of these words are {plural} in each part between the bars, and in total?\n"
    "Answer in this form: {form} = total\n"
)
MEMBER = "{question} Answer yes or no.\n"
NONCE = "{said}\n{question}"


def all_words(docs: Sequence[Doc]) -> list[Doc]:
    """Ask how many words a list has: counting without categories. `members` keeps the item's count."""
    return [
        _as(doc, "all", LENGTH, prompt=_asked(LENGTH, doc), members=doc["count"], count=doc["length"]) for doc in docs
    ]


def membership(docs: Sequence[Doc]) -> list[Doc]:
    """Ask of each word of each list, in the order of the items, whether it is of the category; no question twice."""
    found: dict[tuple[str, str], Doc] = {}
    for doc, names in with_owners(docs):
        for word, owner in zip(doc["words"], names, strict=True):
            asked = articles.question(word, doc["category"], doc["plural"], owner)
            found.setdefault(
                (doc["category"], word),
                {
                    "id": f"{doc['category']}:{word}",
                    "item": doc["id"],
                    "prompt": MEMBER.format(question=asked),
                    "word": word,
                    "category": doc["category"],
                    "plural": doc["plural"],
                    "member": int(owner == doc["category"]),
                    "lists": doc["lists"],
                    "source": doc["source"],
                    "variant": "membership",
                },
            )
    return list(found.values())


def invented(docs: Sequence[Doc], seed: int) -> list[Doc]:
    """Replace the words by invented ones whose categories are said first, in another order than the list's."""
    rng = random.Random(seed)
    made = []
    for doc, kinds in with_owners(docs):
        words = rng.sample(nonce.words(), len(kinds))
        said = [articles.is_a(word, kind) for word, kind in zip(words, kinds, strict=True)]
        rng.shuffle(said)
        question = render(doc["plural"], words, doc["position"], doc["format"])
        made.append(
            _as(
                doc,
                "nonce",
                NONCE,
                prompt=NONCE.format(said=" ".join(said), question=question),
                words=words,
                kinds=kinds,
            )
        )
    return made


def partitioned(docs: Sequence[Doc]) -> list[Doc]:
    """Cut the lists by bars into parts as equal as can be, and ask for the count of each part and the total."""
    made = []
    for doc, names in with_owners(docs):
        flags = [owner == doc["category"] for owner in names]
        cuts = _cuts(doc["length"])
        parts = [sum(flags[begin:end]) for begin, end in pairwise(cuts)]
        question = PARTS.format(plural=doc["plural"], form=" | ".join(["n"] * len(parts)))
        answer = f"{' | '.join(map(str, parts))} = {doc['count']}"
        made.append(_as(doc, "partitioned", PARTS, prompt=_asked(question, doc, cuts), parts=parts, answer=answer))
    return made


def _cuts(length: int) -> list[int]:
    """Return where parts begin and end: about four words each, at least two parts and at most ten."""
    parts = min(length, MOST_PARTS, max(2, -(-length // WORDS_A_PART)))
    return [length * part // parts for part in range(parts + 1)]


def _asked(question: str, doc: Doc, cuts: Sequence[int] = ()) -> str:
    """Return a question with the item's list, before or after it as in the item; `cuts` are where bars go."""
    listing = FORMATS.get(doc["format"], FORMATS[DEFAULT_FORMAT])(doc["words"])
    for begin in reversed(cuts[1:-1]):
        listing = _barred(listing, doc["words"], begin)
    return question + listing if doc["position"] == "before" else listing + question


def _barred(listing: str, words: Sequence[str], begin: int) -> str:
    """Put a bar between the words before `begin` and those from it on: on a line of its own in lists with lines."""
    at = len("Words:")
    for word in words[:begin]:
        at = listing.index(word, at) + len(word)
    next_word = listing.index(words[begin], at)
    if "\n" in listing[at:next_word]:
        return f"{listing[:at]}\n|{listing[at:]}"
    return f"{listing[:at]} | {listing[next_word:]}"


def _as(doc: Doc, variant: str, wording: str, **changed: Any) -> Doc:
    """Return an item as one of a variant; its template's name has a hash of the wording and of the item's template."""
    sign = sha256_of_text(f"{wording}\n{doc['template']}")[:8]
    template = f"{variant}-{doc['position']}-{doc['format']}-{sign}"
    return {**doc, **changed, "variant": variant, "template": template}
