"""The counting tasks: the same lists in every variant, examples apart from what is asked, settings read strictly."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.templates import FORMATS
from lmx_tasks.category_counting.variants import articles, nonce, questions, settings, utils
from lmx_tasks.category_counting.words import LISTS, load_categories, owners

WORDNET = Path("/usr/share/wordnet")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def rows(load, split="test", **metadata):
    return list(load(**{"n": 60, **metadata})[split])


def test_the_variants_ask_about_the_same_lists():
    base = {doc["id"]: doc for doc in rows(utils.load)}
    assert len(base) == 60
    for load in (utils.load_all, utils.load_nonce, utils.load_partitioned):
        docs = rows(load)
        assert [doc["id"] for doc in docs] == list(base)
        assert [doc["length"] for doc in docs] == [doc["length"] for doc in base.values()]
    for doc in rows(utils.load_all):
        assert doc["count"] == len(base[doc["id"]]["words"])
        assert doc["members"] == base[doc["id"]]["count"]
    asked = {(doc["category"], doc["word"]): doc["member"] for doc in rows(utils.load_membership)}
    assert set(asked) == {(doc["category"], word) for doc in base.values() for word in doc["words"]}
    for doc in base.values():
        assert sum(asked[doc["category"], word] for word in doc["words"]) == doc["count"]


def test_membership_asks_in_the_order_of_the_items_and_nothing_twice():
    base, asked = rows(utils.load), rows(utils.load_membership)
    order = list(dict.fromkeys((doc["category"], word) for doc in base for word in doc["words"]))
    assert [(doc["category"], doc["word"]) for doc in asked] == order
    assert len({doc["id"] for doc in asked}) == len(asked) == len({doc["prompt"] for doc in asked})


def test_nonce_says_each_words_category_once_and_hides_the_order():
    same_order = 0
    for doc in rows(utils.load_nonce):
        said = re.findall(r"An? (\w+) is an? ([\w ]+)\.", doc["prompt"])
        assert dict(said) == dict(zip(doc["words"], doc["kinds"], strict=True))
        assert len(said) == len(set(doc["words"])) == doc["length"]
        assert doc["kinds"].count(doc["category"]) == doc["count"]
        assert not set(doc["words"]) & set(owners("full"))
        same_order += [word for word, _ in said] == doc["words"]
    assert same_order <= 3


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("position", ["before", "after"])
def test_parts_are_cut_by_bars_and_counted(style, position):
    owner = owners("full")
    for doc in rows(utils.load_partitioned, n=40, format=style, position=position, lengths=[2, 5, 12, 100]):
        question, _, rest = doc["prompt"].partition("Words:")
        if position == "after":
            rest, _, question = rest.partition("How many")
        pieces = rest.split("|")
        assert len(pieces) == len(doc["parts"])
        found = [re.findall(r"[a-z]+", piece) for piece in pieces]
        assert [word for piece in found for word in piece] == doc["words"]
        assert max(map(len, found)) - min(map(len, found)) <= 1
        assert [sum(owner[word] == doc["category"] for word in piece) for piece in found] == doc["parts"]
        assert sum(doc["parts"]) == doc["count"]
        assert " | ".join("n" * len(pieces)) + " = total" in question


@pytest.mark.parametrize(
    "load", [utils.load, utils.load_all, utils.load_membership, utils.load_nonce, utils.load_partitioned]
)
def test_examples_are_not_asked_about(load):
    for metadata in ({}, {"lists": "tiny"}, {"lengths": 1, "counts": "0-1", "n": 12}):
        tested, examples = rows(load, **metadata), rows(load, "examples", **metadata)
        assert len(examples) >= 16
        assert not {doc["prompt"] for doc in tested} & {doc["prompt"] for doc in examples}
        assert not {doc["id"] for doc in tested} & {doc["id"] for doc in examples}


def test_settings_reach_the_items():
    docs = rows(utils.load, n=48, lengths="10,100", counts=[0, 3], format="all", position="both", lists="tiny")
    assert Counter((doc["length"], doc["count"]) for doc in docs) == {
        (10, 0): 12, (10, 3): 12, (100, 0): 12, (100, 3): 12,
    }  # fmt: skip
    assert {doc["format"] for doc in docs} == set(FORMATS)
    assert {doc["position"] for doc in docs} == {"before", "after"}
    assert {doc["lists"] for doc in docs} == {"tiny"}
    assert rows(utils.load, seed=5) == rows(utils.load, items_seed=5) != rows(utils.load)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number of at least 1"),
        ({"n": "many"}, "n='many' is not a whole number"),
        ({"lengths": "15-5"}, "15-5 is no range"),
        ({"lengths": 101}, "list length 101: lengths are 1 to 100"),
        ({"lengths": []}, "names no number"),
        ({"counts": [20], "lengths": [5]}, "fits a list of"),
        ({"format": "comas"}, "did you mean 'comma'"),
        ({"position": "left"}, "unknown position 'left'"),
        ({"lists": "ful"}, "did you mean 'full'"),
        ({"data_file": "no/such.jsonl"}, "cannot read no/such.jsonl"),
        ({"data_dir": "no_such_folder"}, "there is no folder no_such_folder"),
    ],
)
def test_a_wrong_setting_is_one_line(metadata, message):
    with pytest.raises(UserError) as error:
        utils.load(**metadata)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_models_seed_is_not_the_items_seed():
    from lmx_plugins.evaluation.asked import announced

    with announced(model_args="pretrained=tiny-base,seed=9"):
        assert settings.read({"seed": 9}).seed == settings.SEED
        assert settings.read({"seed": 9, "items_seed": 4}).seed == 4
    with announced(model_args={"pretrained": "x"}):
        assert settings.read({"seed": 9}).seed == 9


@pytest.mark.parametrize(
    ("word", "category", "plural", "expected"),
    [
        ("trout", "fish", "fish", "Is a trout a fish?"),
        ("eel", "fish", "fish", "Is an eel a fish?"),
        ("unicycle", "vehicle", "vehicles", "Is a unicycle a vehicle?"),
        ("hour", "unit of measurement", "units of measurement", "Is an hour a unit of measurement?"),
        ("uranium", "chemical element", "chemical elements", "Is uranium a chemical element?"),
        ("armchair", "piece of furniture", "pieces of furniture", "Is an armchair a piece of furniture?"),
        ("underpants", "garment", "garments", "Are underpants garments?"),
        ("rage", "emotion", "emotions", "Is rage an emotion?"),
        ("theft", "crime", "crimes", "Is a theft a crime?"),
    ],
)
def test_questions_are_english(word, category, plural, expected):
    assert articles.question(word, category, plural, owners("full").get(word, "")) == expected


def test_words_with_and_without_articles_are_words_of_the_lists():
    known = {word for lists in LISTS for word in owners(lists)}
    names = {each.name for lists in LISTS for each in load_categories(lists)}
    data = articles._lists()
    assert data["mass_categories"] <= names
    assert data["counted"] | data["plural"] <= known
    assert data["mass"] <= known


def test_invented_words_are_pronounceable_and_different():
    words = nonce.words()
    assert len(words) == len(set(words)) >= 1_000
    assert all(re.fullmatch(r"[a-z]{4,8}", word) and re.search("[aeiou]", word) for word in words)
    assert not set(words) & {word for lists in LISTS for word in owners(lists)}
    again = nonce.invent(50, 3, lambda word: word.startswith("b"))
    assert again == nonce.invent(50, 3, lambda word: word.startswith("b"))
    assert not any(word.startswith("b") for word in again)


@pytest.mark.skipif(not WORDNET.is_dir(), reason="needs Debian's wordnet-base")
def test_no_invented_word_is_in_wordnet():
    known: set[str] = set()
    for path in [*WORDNET.glob("index.*"), *WORDNET.glob("*.exc")]:
        with path.open(encoding="utf-8", errors="replace") as file:
            known |= {line.split(maxsplit=1)[0] for line in file if not line.startswith("  ")}
    assert len(known) > 100_000
    bare = {re.sub(r"(s|es|ed|er|ing)$", "", word) for word in nonce.words()}
    assert not {*nonce.words()} & known
    assert len(bare & known) <= 0


def test_questions_keep_the_ids_and_differ_in_their_templates():
    (doc, *_) = rows(utils.load)
    made = [questions.all_words([doc])[0], questions.invented([doc], 1)[0], questions.partitioned([doc])[0]]
    assert len({each["template"] for each in made} | {doc["template"]}) == 4
    assert {each["id"] for each in made} == {doc["id"]}
