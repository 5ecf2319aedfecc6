"""Does an answer count something else than was asked? "There is 1 mammal." says nothing of the birds."""

from __future__ import annotations

import re

from lmx_metrics.count_names import listed, pattern, words_for, words_for_others
from lmx_metrics.count_numbers import plain


def counts_another(answer: str, value: int, category: str) -> bool:
    """Whether `value` is certainly the count of another category than the one that was asked for.

    Certain means: both are listed (`count_names.NAMES`), the answer does not name what was asked for, and the number
    stands nowhere but beside the other one's name.

    >>> counts_another("There is 1 mammal.", 1, "bird"), counts_another("There is 1 mammal. 1", 1, "bird")
    (True, False)
    """
    asked = listed(category)
    if asked is None:
        return False
    text = plain(answer, category)
    if re.search(rf"\b(?:{'|'.join(map(pattern, sorted(words_for(asked))))})", text, re.IGNORECASE):
        return False
    others = "|".join(map(pattern, sorted(words_for_others(asked))))
    beside = re.compile(
        rf"(?<![\w.]){value}\s+(?:(?!and\b|or\b|of\b|are\b|is\b)[a-z]+\s+)?(?:{others})\b"
        rf"|\b(?:{others})\b\W{{0,3}}(?:[:=]|\bis\b|\bare\b)\s*{value}(?![\w.]*\d)",
        re.IGNORECASE,
    )
    found = len(re.findall(rf"(?<![\w.]){value}(?!\w|\.\d)", text))
    if value == 0 and not found:
        return re.search(rf"\b(?:no|any|none of the|single)\s+(?:{others})\b", text, re.IGNORECASE) is not None
    return found > 0 and len(beside.findall(text)) == found
