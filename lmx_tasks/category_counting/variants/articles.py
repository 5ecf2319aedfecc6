"""How English asks about a word: "Is a trout a fish?", "Is gold a chemical element?", "Are underpants garments?".

Which words take an article stands in `data/articles.json`: in ``mass_categories`` none does but those in ``counted``;
in others all do but those in ``mass``.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "articles.json"
_AN = re.compile(r"(?!eu|ewe|one\b|u(?:ni(?!n)|ku|ra|re|te|ro|su|to|se))[aeiou]|hour|heir|honest")


@lru_cache(maxsize=1)
def _lists() -> dict[str, frozenset[str]]:
    raw = json.loads(FILE.read_text(encoding="utf-8"))
    return {name: frozenset(words) for name, words in raw.items() if isinstance(words, list)}


def article(noun: str) -> str:
    """Return "a" or "an".

    >>> article("otter"), article("unicycle"), article("hour"), article("euphonium"), article("undecagon")
    ('an', 'a', 'an', 'a', 'an')
    """
    return "an" if _AN.match(noun) else "a"


def is_a(noun: str, category: str) -> str:
    """Return the statement that a countable word is of a category: "A blick is a fruit."."""
    return f"{article(noun).capitalize()} {noun} is {article(category)} {category}."


def question(word: str, category: str, plural: str, owner: str) -> str:
    """Return the question whether a word is of a category.

    Args:
        category, plural: what is asked for. owner: the category that the word is of, which tells whether it is
            counted; "" where that is not known.

    >>> question("trout", "fish", "fish", "fish"), question("carbon", "bird", "birds", "chemical element")
    ('Is a trout a fish?', 'Is carbon a bird?')
    """
    known = _lists()
    if word in known["plural"]:
        return f"Are {word} {plural}?"
    mass = word in known["mass"] or (owner in known["mass_categories"] and word not in known["counted"])
    subject = word if mass else f"{article(word)} {word}"
    return f"Is {subject} {article(category)} {category}?"
