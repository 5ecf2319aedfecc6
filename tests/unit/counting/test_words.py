"""The word lists, held against WordNet: no word has a second meaning in another listed category.

A category is anchored in the synsets of what it *is*, chosen for its meaning and before any word was looked up; the
anchors are wider than the lists (any person is an occupation, any implement a tool), so that they find more.
"""

from __future__ import annotations

import os

import pytest

from lmx_tasks.category_counting import words
from lmx_tasks.category_counting.making.matching import load_stand_ins
from tests.unit.counting.wordnet import FOLDER, Nouns

ANCHORS = {
    "mammal": "mammal.n.01",
    "bird": "bird.n.01",
    "fish": "fish.n.01",
    "insect": "insect.n.01",
    "reptile": "reptile.n.01",
    "fruit": "edible_fruit.n.01 fruit.n.01",
    "vegetable": "vegetable.n.01 vegetable.n.02",
    "flower": "flower.n.01 flower.n.02",
    "tool": "tool.n.01 implement.n.01",
    "musical instrument": "musical_instrument.n.01",
    "garment": "garment.n.01 clothing.n.01",
    "vehicle": "vehicle.n.01",
    "occupation": "worker.n.01 professional.n.01 person.n.01",
    "drink": "beverage.n.01 alcohol.n.01",
    "body part": "body_part.n.01",
    "piece of furniture": "furniture.n.01",
    "fabric": "fabric.n.01",
    "chemical element": "chemical_element.n.01",
    "disease": "disease.n.01 illness.n.01",
    "sport": "sport.n.01 athletic_game.n.01",
    "emotion": "emotion.n.01 feeling.n.01",
    "building": "building.n.01",
    "weapon": "weapon.n.01",
    "unit of measurement": "unit_of_measurement.n.01 time_unit.n.01",
    "academic discipline": "discipline.n.01 science.n.01",
    "dessert": "dessert.n.01 sweet.n.03 cake.n.03 pastry.n.01",
    "room": "room.n.01",
    "landform": "geological_formation.n.01 land.n.04",
    "crime": "crime.n.01",
    "mythical creature": "mythical_being.n.01 imaginary_being.n.01 spiritual_being.n.01",
    "stone": "rock.n.01 rock.n.02 gem.n.02 mineral.n.01",
}
FULL = words.load_categories("full")


@pytest.fixture(scope="module")
def nouns() -> Nouns:
    if not FOLDER.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"no WordNet in {FOLDER}: CI installs Debian's wordnet-base")
        pytest.skip(f"no WordNet in {FOLDER}: apt-get install wordnet-base")
    return Nouns()


def elsewhere(nouns: Nouns, categories) -> dict[str, list[str]]:
    """Other categories that a word is a kind of in its first two senses."""
    anchors = {name: {nouns.synset(each) for each in names.split()} for name, names in ANCHORS.items()}
    found = {}
    for category in categories:
        for word in category.words:
            above = frozenset().union(*(nouns.ancestors(sense) for sense in nouns.senses(word)[:2]))
            if others := [n for n, synsets in anchors.items() if n != category.name and synsets & above]:
                found[word] = others
    return found


def test_thirty_categories_of_sixty_words():
    assert len(FULL) >= 30
    assert {len(each.words) for each in FULL} == {60}
    assert words.check_categories(FULL, minimum=60) == []
    assert len({each.plural for each in FULL}) == len(FULL)
    assert set(ANCHORS) == {each.name for each in FULL}


def test_at_most_two_in_a_hundred_words_mean_another_category(nouns):
    found = elsewhere(nouns, FULL)
    total = sum(len(each.words) for each in FULL)
    assert len(found) <= 0.02 * total, found


def test_double_meanings_are_found(nouns):
    """Words with two meanings, put where a careless list has them."""
    careless = {
        "cricket": ("sport", "insect"),
        "squash": ("sport", "vegetable"),
        "crepe": ("fabric", "dessert"),
        "mercury": ("chemical element", "mythical creature"),
        "library": ("building", "room"),
        "missile": ("weapon", "vehicle"),
        "bongo": ("musical instrument", "mammal"),
        "denim": ("fabric", "garment"),
        "screwdriver": ("tool", "drink"),
    }
    lists = [words.Category(name, f"{name}s", (word,)) for word, (name, _) in careless.items()]
    found = elsewhere(nouns, lists)
    for word, (_, other) in careless.items():
        assert other in found[word]


def test_members_by_wordnet(nouns, record_property):
    """Most words are kinds of their category by WordNet too; the rest it files elsewhere or does not know."""
    confirmed = known = 0
    for category in FULL:
        anchors = {nouns.synset(each) for each in ANCHORS[category.name].split()}
        for word in category.words:
            senses = nouns.senses(word)
            known += bool(senses)
            confirmed += any(anchors & nouns.ancestors(sense) for sense in senses)
    record_property("known", known)
    record_property("confirmed", confirmed)
    print(f"{known} of {60 * len(FULL)} words are in WordNet, {confirmed} as kinds of their category")
    assert confirmed > 0.7 * 60 * len(FULL)


def verbs(word: str) -> list[str]:
    """What a word may be the gerund of: canoeing, in sports, of canoe, in vehicles."""
    if not word.endswith("ing"):
        return []
    return [word[:-3], word[:-3] + "e", *([word[:-4]] if word[-4:-3] == word[-5:-4] else [])]


def test_inflections_are_found(nouns):
    assert "canoe" in verbs("canoeing")
    assert "run" in verbs("running")
    assert "berry" in nouns.singulars("berries")
    assert "mouse" in nouns.singulars("mice")


def test_no_word_is_an_inflection_of_another(nouns):
    every = words.owners("full")
    names = {part for each in FULL for part in (each.name, each.plural)}
    for word in every:
        inflected = [form for form in (*nouns.singulars(word), *verbs(word)) if form in every and form != word]
        assert not inflected, f"{word} is an inflection of {inflected}"
        assert word not in names


def test_stand_ins_are_of_other_categories_and_even():
    owner = words.owners("full")
    stand_ins = load_stand_ins()
    counts = dict.fromkeys(owner, 0)
    for word, names in stand_ins.items():
        assert len(set(names)) == 12
        for name in names:
            assert owner[name] != owner[word]
            counts[name] += 1
    assert set(counts.values()) == {12}
