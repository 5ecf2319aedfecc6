"""What a language model proposes is read in any form, and only what can be used is."""

from __future__ import annotations

from collections import Counter

import pytest

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.mixed import make_mixed
from lmx_tasks.category_counting.making.proposals import TooFewError, ask_for, singular, usable
from lmx_tasks.category_counting.making.reading import entries, names
from lmx_tasks.category_counting.words import Category


@pytest.mark.parametrize(
    "raw",
    [
        "apple\npear\nplum",
        "1. Apple\n2. Pear\n3. Plum",
        "Sure! Here are three fruits:\n\n- **Apple**\n- Pear (green)\n* plum.",
        "Here is the list:\n• Apple – a red fruit\n• Pear - sweet\n• Plum",
        "apple, pear, plum",
        '["Apple", "pear", "plum"]',
        '```json\n["apple",\n "pear", "plum"]\n```',
        "<think>Fruits... cherry? no.</think>apple\npear\nplum",
        "Fruits:\nApple: a round fruit\nPear\n`plum`",
        "1) apple; 2) pear; 3) plum",
        "a) apple\nb) pear\nc) plum",
        "Fruits: apple, pear, plum",
        "The 3 fruits are: an apple, a pear, and a plum.",
        "The fruits are: 1. Apple, 2. Pear, 3. Plum",
        "Sure! Apple, pear, plum, and more.",
        "# Fruits\n\n- _apple_\n- _pear_\n- _plum_\n\nLet me know if you need more.",
        "| # | Fruit |\n|---|:--|\n| 1 | Apple |\n| 2 | **Pear** |\n| 3 | plum |",
        "<ul><li>apple</li><li>pear</li>\n<li>plum</li></ul>",
        '[{"id": 1, "word": "Apple"}, {"id": 2, "word": "pear"}, {"id": 3, "word": "plum"}]',
        '{"fruits": ["apple", "pear", "plum"]}',
        "[1] apple\n[2] pear\n[3] plum",
        '["apple", "pear", "plum", "blueb',
        '```json\n["apple", "pear", "plum",',
    ],
)
def test_lists_in_any_form(raw):
    assert entries(raw) == ["apple", "pear", "plum"]


@pytest.mark.parametrize("raw", ["", "\n\n", "```", "[1, 2]", '["a"', "<think>never ends", "[" * 50_000])
def test_no_text_is_an_error(raw):
    assert isinstance(entries(raw), list)
    assert "apple" not in entries(raw)


def test_names_of_categories():
    raw = "Here are some:\n1. Types of fruit\n2. Musical Instruments\n3. things found in a house\n4. birds\n5. Birds"
    assert names(raw) == ["fruit", "musical instruments", "birds"]


def test_singulars():
    pairs = {
        "fruits": "fruit",
        "berries": "berry",
        "dishes": "dish",
        "dresses": "dress",
        "boxes": "box",
        "fish": "fish",
    }
    assert {plural: singular(plural) for plural in pairs} == pairs


def said(**pools: str) -> list[dict]:
    """The rows of a model that proposed these words."""

    def ask(prompts):
        answers = {"Name": "\n".join(pools)} | dict(pools)
        return [next(text for key, text in answers.items() if f"{key}" in prompt.split(".")[0]) for prompt in prompts]

    return ask_for(ask, "liar", len(pools), 40)


def test_only_usable_words_are_taken_and_the_rest_is_explained():
    rows = said(
        fruits="apple\npear\nplum\nfruit\nplums\ngrape vine\ntomato\nfig",
        tools="hammer\nsaw\ntomato\nPEAR TREE\nawl\nadze\nfile",
        misc="x\ny",
    )
    found = usable(rows, fewest=4)
    assert [each.name for each in found.categories] == ["fruit", "tool"]
    assert found.categories[0].words == ("apple", "pear", "plum", "fig")
    assert found.log[1]["refused"] == {
        "fruit": "the category itself", "plums": "plural of another word", "grape vine": "not a single word",
        "tomato": "of several categories",
    }  # fmt: skip
    assert found.log[1]["raw"].startswith("apple\npear")
    assert [row.get("used") for row in found.log] == [None, True, True, False]
    assert all(row["model"] == "liar" and row["prompt"] for row in found.log)


def test_what_was_judged_wrong_is_left_out():
    rows = said(fruits="apple\npear\nplum\nhammer\nfig", tools="saw\nawl\nadze\nfile\nlime")
    judged = {
        ("fruits", "hammer"): False,
        ("fruits", "apple"): True,
        ("fruits", "lime"): True,
        ("tools", "apple"): False,
    }
    found = usable(rows, 2, judged)
    assert found.categories[0].words == ("apple", "pear", "plum", "fig")
    assert found.categories[1].words == ("saw", "awl", "adze", "file")


def test_a_model_that_says_nothing_useful_is_one_line():
    rows = said(fruits="I am sorry, I cannot do that", tools="hammer\nsaw\nawl\nadze\nfile\nplane")
    with pytest.raises(UserError, match="the model liar proposed 2 categories, of which 1 have at least 5 words"):
        usable(rows, 5)


def test_a_mixed_set_is_flat_as_a_whole():
    pools = [
        Category(f"kind{k}", f"kinds{k}", tuple(f"{'abcdefgh'[k]}{a}{b}" for a in "xyzuvw" for b in "pqrst"))
        for k in range(6)
    ]
    docs = make_mixed(1_200, 3, Design(), pools, "some-model", 0.3)
    assert len(docs) == 1_200
    cells = Counter((doc["length"], doc["count"]) for doc in docs)
    assert max(cells.values()) - min(cells.values()) <= 1
    by_source = Counter(doc["source"] for doc in docs)
    assert by_source == {"systematic": 840, "model": 360}
    for doc in docs:
        if doc["source"] == "model":
            members = next(each.words for each in pools if each.name == doc["category"])
            assert sum(word in members for word in doc["words"]) == doc["count"]
            assert doc["lists"] == ""
            assert doc["provenance"]["model"] == "some-model"
        else:
            assert doc["provenance"]["model"] == ""
    by_count = Counter((doc["count"], doc["category"]) for doc in docs if doc["source"] == "model")
    for count in range(9):
        of_count = [by_count[count, each.name] for each in pools]
        assert max(of_count) - min(of_count) <= 2
    assert docs == make_mixed(1_200, 3, Design(), pools, "some-model", 0.3)


@pytest.mark.parametrize(
    ("pool", "plural"),
    [
        ("apple\nplum\napples\nfig\npear", "apples"),
        ("apples\napple\nplum\nfig\npear", "apples"),
        ("cherries\nfig\npear\nplum\ncherry", "cherries"),
        ("peaches\npeach\nfig\nplum\npear", "peaches"),
        ("mangoes\nfig\nmango\nplum\npear", "mangoes"),
    ],
)
def test_a_plural_is_left_out_wherever_its_singular_stands(pool, plural):
    found = usable(said(fruits=pool, tools="hammer\nsaw\nawl\nknives\nknife\nadze"), fewest=4)
    fruits, tools = found.categories
    assert list(fruits.words) == [word for word in pool.split("\n") if word != plural]
    assert found.log[1]["refused"] == {plural: "plural of another word"}
    assert tools.words == ("hammer", "saw", "awl", "knife", "adze")


def test_a_word_and_its_plural_in_two_categories_are_of_neither():
    found = usable(said(fruits="apple\nfig\npear\nplum", desserts="trifle\napples\nsundae\nfudge\nblancmange"), 3)
    assert [each.words for each in found.categories] == [
        ("fig", "pear", "plum"), ("trifle", "sundae", "fudge", "blancmange"),
    ]  # fmt: skip


def test_a_category_that_comes_twice_is_one():
    rows = said(fruits="apple\nfig\npear\nplum", fruit="apple\nfig\nkiwi\nplum", tools="hammer\nsaw\nawl\nadze")
    assert [row.get("category") for row in rows] == [None, "fruits", "tools"]
    again = {**rows[1], "category": "fruit"}
    found = usable([*rows, again, rows[1]], 4)
    assert [(each.plural, len(each.words)) for each in found.categories] == [("fruits", 4), ("tools", 4)]


def test_why_nothing_could_be_made_is_said_and_kept():
    rows = said(fruits="\n".join(f"{tree} tree" for tree in ("fig", "plum", "pear")), tools="hammer\nsaw\nawl\nadze")
    with pytest.raises(TooFewError, match=r"\(left out: 3 not a single word\)") as error:
        usable(rows, 4)
    assert error.value.log[1]["refused"]["fig tree"] == "not a single word"
    assert error.value.log[2]["taken"] == ["hammer", "saw", "awl", "adze"]


def test_a_model_that_repeats_itself_is_read_at_once():
    """In time linear in its words: else this would take minutes."""
    found = usable(said(fruits="apple\n" * 40_000 + "fig\nplum", tools="hammer\nsaw\nawl"), 3)
    assert found.categories[0].words == ("apple", "fig", "plum")
