"""Sets of counting items: flat over cells, even over words, different questions, the same for the same seed."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.mixed import make_mixed
from lmx_tasks.category_counting.making.systematic import make
from lmx_tasks.category_counting.making.templates import FORMATS, POSITIONS, render, template_id
from lmx_tasks.category_counting.words import Category, load_categories, owners


@pytest.mark.parametrize(
    ("n", "seed", "design"),
    [
        (3_000, 1, Design()),
        (3_001, 2, Design(formats=("comma", "lines"), positions=POSITIONS)),
        (1_500, 3, Design(lengths=(5, 40, 100), counts=(0, 3, 20))),
    ],
)
@pytest.mark.parametrize("lists", ["full", "tiny"])
def test_flat_and_even(n, seed, design, lists):
    docs = make(n, seed, design, lists)
    assert len(docs) == n
    cells = Counter((doc["length"], doc["count"]) for doc in docs)
    assert set(cells) == set(design.cells())
    assert max(cells.values()) - min(cells.values()) <= 1
    names = [each.name for each in load_categories(lists)]
    by_count = Counter((doc["count"], doc["category"]) for doc in docs)
    for count in design.counts:
        of_count = [by_count[count, name] for name in names]
        assert max(of_count) - min(of_count) <= 2
    assert max(spread(docs, lists).values()) <= 0.25


def spread(docs, lists):
    """The largest distance of a word's use from its category's mean, as a share of the mean."""
    use = Counter(word for doc in docs for word in doc["words"])
    means = {each.name: statistics.mean(use[word] for word in each.words) for each in load_categories(lists)}
    return {word: abs(use[word] / means[owner] - 1) for word, owner in owners(lists).items()}


@pytest.mark.parametrize("lists", ["full", "tiny"])
def test_counts_are_right_and_questions_differ(lists):
    docs = make(2_000, 7, Design(positions=POSITIONS, formats=tuple(FORMATS)), lists)
    owner = owners(lists)
    for doc in docs:
        assert len(doc["words"]) == len(set(doc["words"])) == doc["length"]
        assert sum(owner[word] == doc["category"] for word in doc["words"]) == doc["count"]
        assert doc["prompt"] == render(doc["plural"], doc["words"], doc["position"], doc["format"])
        assert doc["template"] == template_id(doc["position"], doc["format"])
        assert doc["lists"] == lists
    assert len({doc["prompt"] for doc in docs}) == len({doc["id"] for doc in docs}) == 2_000
    styles = Counter((doc["position"], doc["format"]) for doc in docs)
    assert len(styles) == len(FORMATS) * 2
    assert max(styles.values()) - min(styles.values()) <= 1


def test_seeded():
    assert make(50, 5) == make(50, 5)
    assert make(50, 5) != make(50, 6)


def test_a_set_that_cannot_be_is_one_line():
    with pytest.raises(UserError, match=r"a count of 61: .* has 60 words"):
        make(10, 1, Design(lengths=(70,), counts=(61,)))
    with pytest.raises(UserError, match="list length 101: lengths are 1 to 100"):
        make(10, 1, Design(lengths=(101,)))
    with pytest.raises(UserError, match="no count of"):
        make(10, 1, Design(lengths=(3,), counts=(4,)))
    with pytest.raises(UserError, match=r"only \d+ of 3000 items are different"):
        make(3_000, 1, Design(lengths=(1,), counts=(1,)))
    with pytest.raises(UserError, match="unknown word lists 'fill': did you mean 'full'"):
        make(10, 1, lists="fill")


def test_formats_are_read_as_a_person_would():
    words = ["owl", "hat"]
    assert render("birds", words, format="bullets") == "How many of these words are birds?\nWords:\n- owl\n- hat\n"
    assert render("birds", words, "after", "numbered") == "Words:\n1. owl\n2. hat\nHow many of these words are birds?\n"
    assert len({template_id(position, name) for position in POSITIONS for name in FORMATS}) == 2 * len(FORMATS)


def test_lists_that_hold_all_words_of_their_category_are_as_long_as_they_say():
    """vegetable has 39 words in the lists tiny; of a model's categories each may have but five."""
    docs = make(26, 1, Design(lengths=(79, 100), counts=(39,)), "tiny")
    assert "vegetable" in {doc["category"] for doc in docs}
    names = {
        "stone": "agate beryl topaz garnet opal",
        "coin": "penny dime euro rupee peso",
        "cloth": "silk denim tweed velvet linen",
        "spice": "cumin sumac nutmeg saffron turmeric",
    }
    proposed = [Category(name, f"{name}s", tuple(words.split())) for name, words in names.items()]
    docs += make_mixed(66, 1, Design(lengths=tuple(range(5, 16)), counts=tuple(range(6))), proposed, "scripted")
    members = {each.name: set(each.words) for each in (*load_categories("tiny"), *proposed)}
    for doc in docs:
        assert len(doc["words"]) == len(set(doc["words"])) == doc["length"]
        assert sum(word in members[doc["category"]] for word in doc["words"]) == doc["count"]
