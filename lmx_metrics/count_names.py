"""What the listed categories are called: an answer about occupations may count jobs, one about mammals animals.

Only words that say nothing else of the other categories: "3 animals" answers a question about mammals, and none about
fruits.
"""

from __future__ import annotations

import re
from functools import lru_cache

NAMES = {
    "mammal": "animal creature beast",
    "bird": "animal creature fowl",
    "fish": "animal creature",
    "insect": "animal creature bug",
    "reptile": "animal creature",
    "fruit": "food",
    "vegetable": "food veggie veg",
    "flower": "plant blossom bloom",
    "tool": "implement utensil",
    "musical instrument": "instrument",
    "garment": "clothes clothing",
    "vehicle": "conveyance",
    "occupation": "job profession career trade vocation",
    "drink": "beverage",
    "body part": "",
    "piece of furniture": "furniture furnishing",
    "fabric": "textile cloth",
    "chemical element": "",
    "disease": "illness sickness ailment malady",
    "sport": "game",
    "emotion": "feeling",
    "building": "structure edifice",
    "weapon": "armament",
    "unit of measurement": "unit measurement",
    "academic discipline": "discipline subject",
    "dessert": "sweet treat food",
    "room": "",
    "landform": "",
    "crime": "offence offense felony",
    "mythical creature": "creature monster beast",
    "stone": "rock gem mineral",
}
"""The categories of the shipped lists, of which no word belongs to two, and other words for each."""


def listed(category: str) -> str | None:
    """Return the name of the listed category that is asked for, in the singular; None where it is another."""
    asked = category.casefold().strip()
    return next((name for name in (asked, asked.removesuffix("s")) if name in NAMES), None)


@lru_cache(maxsize=64)
def words_for(category: str) -> frozenset[str]:
    """Return the category's name and other words for it."""
    return frozenset({category, *NAMES.get(category, "").split()})


@lru_cache(maxsize=64)
def words_for_others(category: str) -> frozenset[str]:
    """Return the names of the other listed categories and words for them, but for those of this one."""
    return frozenset().union(*(words_for(name) for name in NAMES)) - words_for(category)


def names(noun: str, category: str) -> bool:
    """Whether a noun, in the singular or the plural, is a word for a category, in another language maybe.

    >>> names("jobs", "occupation"), names("animals", "mammals"), names("animals", "fruit"), names("frutas", "fruits")
    (True, True, False, True)
    """
    noun, asked = noun.casefold(), category.casefold().strip()
    forms = {noun, noun.removesuffix("s"), re.sub("(s|x|z|ch|sh)es$", r"\1", noun), re.sub("ies$", "y", noun)}
    own = listed(category) or asked
    if forms & {asked, asked.removesuffix("s"), *asked.split(), *words_for(own)}:
        return True
    return not forms & words_for_others(own) and noun[:3] in {word[:3] for word in asked.split()}


def pattern(name: str) -> str:
    """Return an expression for a name in the singular or the plural: "piece of furniture", "felonies"."""
    head, of, rest = name.partition(" of ")
    many = re.escape(head[:-1]) + "(?:y|ies)" if head.endswith("y") else re.escape(head) + "(?:s|es)?"
    return many + re.escape(of + rest)
