"""Does an answer count something else than was asked? "There is 1 mammal." says nothing of the birds."""

from __future__ import annotations

import re

from lmx_metrics.count_numbers import plain

DISJOINT = (
    "bird", "body part", "drink", "flower", "fruit", "garment", "insect", "mammal", "musical instrument", "occupation",
    "tool", "vegetable", "vehicle",
)  # fmt: skip
"""Categories of which no word belongs to two, so that a count of one is none of another."""


def counts_another(answer: str, value: int, category: str) -> bool:
    """Whether `value` is certainly the count of another category than the one that was asked for.

    Certain means: both are among `DISJOINT`, the answer does not name what was asked for, and the number stands nowhere
    but beside the other one's name.

    >>> counts_another("There is 1 mammal.", 1, "bird"), counts_another("There is 1 mammal. 1", 1, "bird")
    (True, False)
    """
    asked = category.casefold().strip().removesuffix("s")
    if asked not in DISJOINT:
        return False
    text = plain(answer, category)
    if re.search(rf"\b{_noun(asked)}", text, re.IGNORECASE):
        return False
    others = "|".join(_noun(name) for name in DISJOINT if name != asked)
    beside = re.compile(
        rf"(?<![\w.]){value}\s+(?:(?!and\b|or\b|of\b|are\b|is\b)[a-z]+\s+)?(?:{others})\b"
        rf"|\b(?:{others})\b\W{{0,3}}(?:[:=]|\bis\b|\bare\b)\s*{value}(?![\w.]*\d)",
        re.IGNORECASE,
    )
    found = len(re.findall(rf"(?<![\w.]){value}(?!\w|\.\d)", text))
    if value == 0 and not found:
        return re.search(rf"\b(?:no|any|none of the|single)\s+(?:{others})\b", text, re.IGNORECASE) is not None
    return found > 0 and len(beside.findall(text)) == found


def _noun(name: str) -> str:
    return re.escape(name) + "(?:s|es)?"
