"""Wrong items are caught and pruned, right ones kept; the lists decide first, and a model only where they cannot."""

from __future__ import annotations

import pytest

from lmx_analysis import counting_sets
from lmx_files.errors import UserError
from lmx_tasks.category_counting.checking.membership import ask_model, by_lists
from lmx_tasks.category_counting.checking.prune import judged, kept
from lmx_tasks.category_counting.checking.validate import validate
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.mixed import make_mixed
from lmx_tasks.category_counting.making.systematic import make
from lmx_tasks.category_counting.making.templates import FORMATS, POSITIONS, render
from lmx_tasks.category_counting.words import Category, by_name


def test_the_lists_decide_or_say_that_they_cannot():
    assert by_lists("fruits", "apple") is True
    assert by_lists("Fruit", "hammer") is False
    assert by_lists("desserts", "trifle") is True
    assert by_lists("fruits", "quetzal") is None
    assert by_lists("reptiles", "zorb") is None
    assert by_lists("planets", "apple") is None
    assert by_lists("garments", "jeans") is by_lists("garments", "jeans", "tiny")


@pytest.mark.parametrize("lists", ["full", "tiny"])
def test_a_systematic_set_is_right_throughout(lists):
    docs = make(400, 2, Design(positions=POSITIONS, formats=tuple(FORMATS)), lists)
    results = validate(docs)
    assert results["verdicts"] == {"right": 400, "wrong": 0, "undecided": 0, "duplicate": 0, "malformed": 0}
    assert results["decided_by"] == {"lists": results["decided_by"]["lists"]}
    assert results["accuracy"] == 1.0
    assert kept(docs, results) == docs
    assert results["design"]["largest_difference_of_cells"] <= 1
    assert {row["group"] for row in results["by_length"]} == set(range(5, 16))


def damaged():
    docs = make(60, 5)
    docs[3] = docs[3] | {"count": docs[3]["count"] + 1}
    docs[7] = docs[7] | {"count": 99}
    docs[11] = docs[10]
    words = docs[20]["words"][::-1]
    docs[21] = docs[20] | {"words": words, "prompt": render(docs[20]["plural"], words)}
    docs[30] = docs[30] | {"words": [*docs[30]["words"][:-1], docs[30]["words"][0]]}
    docs[31] = docs[31] | {"prompt": "How many?"}
    docs[32] = docs[32] | {"length": 40}
    return docs


def test_damage_is_found_and_pruned():
    docs = damaged()
    results = validate(docs)
    bad = {row["item"]: row["verdict"] for row in results["bad_examples"]}
    assert bad == {
        3: "wrong", 7: "malformed", 11: "duplicate", 21: "duplicate", 30: "malformed", 31: "malformed", 32: "malformed",
    }  # fmt: skip
    assert results["accuracy"] == pytest.approx(53 / 54)
    assert kept(docs, results) == [doc for number, doc in enumerate(docs) if number not in bad]
    assert next(row for row in results["bad_examples"] if row["item"] == 21)["why"] == "asks what item 20 asks"


LIES = {"hammer", "sword", "trumpet"}
UNKNOWN_FRUITS, UNKNOWN_TOOLS = ("ackee", "salak", "cempedak"), ("spudger", "peavey", "froe")


def proposed() -> list[Category]:
    """A model's categories: true ones, three lies among the fruits, and words that no list knows."""
    true_fruits, true_tools = by_name("full")["fruit"].words[:8], by_name("full")["tool"].words[10:20]
    true_tools = tuple(word for word in true_tools if word not in LIES)
    return [
        Category("fruit", "fruits", (*true_fruits, *sorted(LIES), *UNKNOWN_FRUITS)),
        Category("tool", "tools", (*true_tools, *UNKNOWN_TOOLS)),
    ]


def truth(prompts):
    """A judge that knows."""
    answers = []
    for prompt in prompts:
        word, plural = prompt.split('"')[1], "fruits" if "fruits" in prompt else "tools"
        answers.append("Yes." if word in (UNKNOWN_FRUITS if plural == "fruits" else UNKNOWN_TOOLS) else "No.")
    return answers


def is_true(doc) -> bool:
    """Whether the count is right by what we know of the planted words."""
    members = set(by_name("full")[doc["category"]].words) | set(
        UNKNOWN_FRUITS if doc["category"] == "fruit" else UNKNOWN_TOOLS
    )
    return sum(word in members for word in doc["words"]) == doc["count"]


def test_a_lying_model_is_caught_by_lists_and_by_another_model():
    docs = make_mixed(300, 4, Design(lengths=(5, 8), counts=(0, 1, 2, 3, 4)), proposed(), "liar")
    asked = []

    def ask(prompts):
        asked.extend(prompts)
        return truth(prompts)

    results = validate(docs, ask)
    verdicts = [verdict["verdict"] for verdict in results["per_item"]]
    lies = [not is_true(doc) for doc in docs]
    assert sum(lies) > 30
    assert [verdict == "wrong" for verdict in verdicts] == lies
    assert kept(docs, results) == [doc for doc in docs if is_true(doc)]
    assert len(asked) == len(set(asked)) == 2 * 6  # each unknown word of each category, once
    assert results["decided_by"]["model"] == 12
    heard = judged(results)
    assert all(heard["fruits", lie] is False for lie in LIES)
    assert all(heard["fruits", word] is True for word in UNKNOWN_FRUITS)


def test_without_a_model_the_undecidable_is_undecided_and_left_out():
    docs = make_mixed(300, 4, Design(lengths=(5, 8), counts=(0, 1, 2, 3, 4)), proposed(), "liar")
    results = validate(docs)
    unknown = {*UNKNOWN_FRUITS, *UNKNOWN_TOOLS}
    for doc, verdict in zip(docs, results["per_item"], strict=True):
        if verdict["verdict"] == "undecided":
            assert unknown & set(doc["words"])
        elif verdict["verdict"] == "right":
            assert is_true(doc)
        else:
            assert not is_true(doc)
    assert results["verdicts"]["undecided"] > 50
    assert len(kept(docs, results, undecided=True)) == results["verdicts"]["right"] + results["verdicts"]["undecided"]


def test_an_answer_that_says_neither_decides_nothing():
    docs = make_mixed(60, 4, Design(lengths=(5,), counts=(0, 1, 2)), proposed(), "liar")
    results = validate(docs, lambda prompts: ["I cannot say."] * len(prompts))
    assert results["verdicts"]["undecided"] > 0
    assert all(row["member"] is None and row["raw"] for row in results["words"] if row["by"] == "model")


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("Yes", True),
        ("No.", False),
        ('No, the word "wok" is not one of these. It is', False),
        ("Yes, a wok is one of them.\nIt can", True),
        ("Yes and no.", None),
        ("", None),
    ],
)
def test_answers_of_a_judge(text, member):
    found = ask_model(lambda prompts: [text] * len(prompts), [("tools", "wok")], iter)
    assert found["tools", "wok"] == {"member": member, "raw": text}


def test_a_skewed_set_is_seen():
    docs = [doc for doc in make(900, 1) if doc["count"] != 3 or doc["length"] < 7]
    design = validate(docs)["design"]
    assert design["cells"] < 93
    skewed = docs + make(300, 9, Design(lengths=(5,), counts=(1,)))
    assert validate(skewed)["design"]["largest_difference_of_cells"] > 200


def test_results_of_another_set_are_refused():
    results = validate(make(20, 1))
    with pytest.raises(UserError, match="of another set"):
        kept(make(21, 1), results)


def test_tables_pictures_and_section(tmp_path):
    results = validate(damaged()) | {"examples": "set", "model": None}
    made = counting_sets.files(results, plots=True)
    assert {name.split(".")[0] for name in made} == {
        "validation_by_count",
        "validation_by_length",
        "validation_by_category",
    }
    section = counting_sets.section(results, made)
    assert [row[0] for row in section.tables[-1].rows] == [3, 7, 11, 21, 30, 31, 32]
    assert "53 right, 1 wrong, 0 undecided, 2 duplicate, 4 malformed" in section.text[0]
    section.write(tmp_path)
    assert len(counting_sets.screen_tables(results)) == 3
