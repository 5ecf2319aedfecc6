"""The error split finds the errors that were made, at the rates at which they were made, and no others."""

from __future__ import annotations

import math

import pytest

from lmx_analysis.counting import load, split
from tests.unit.counting.made_run import Model, documents, write_run

N = 600


@pytest.fixture(scope="module")
def asked():
    return documents(N)


def split_of(folder, asked, model):
    found = load.load([write_run(folder, asked, model.answer)])
    made = split.tables(found)
    (row,) = made["split"]
    return row, {each["kind"]: each["share"] for each in made["split_kinds"]}, made


def near(found, rate, n):
    """Whether a share of `n` is within four standard errors of the rate it was made with."""
    return abs(found - rate) <= 4 * math.sqrt(rate * (1 - rate) / n) + 1e-12


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"missed": 0.2},
        {"false": 0.05},
        {"miscounts": 0.3},
        {"silent": 0.25},
        {"missed": 0.1, "false": 0.02, "miscounts": 0.15, "silent": 0.1},
    ],
)
def test_errors_are_split_back_at_the_rates_they_were_made_with(tmp_path, asked, rates):
    model = Model(**rates, seed=len(str(rates)))
    row, kinds, _ = split_of(tmp_path, asked, model)
    words = asked["category_counting_membership"]
    members = sum(doc["member"] for doc in words)
    assert row["lists"] == N
    assert near(row["missed_members"], model.missed, members)
    assert near(row["false_members"], model.false, len(words) - members)
    assert near(row["counting_errors"], model.miscounts, N * (1 - model.silent))
    assert near(row["parsing_errors"], model.silent, N)
    assert near(row["all"], model.miscounts, N * (1 - model.silent))
    assert near(row["nonce"], model.miscounts, N * (1 - model.silent))
    assert sum(kinds.values()) == pytest.approx(1)
    assert kinds["not judged"] == 0
    assert near(kinds["parsing"], model.silent, N)
    misjudged = row["lists_misjudged"]
    assert near(kinds["membership"], (1 - model.silent) * (1 - model.miscounts) * misjudged, N)
    assert near(kinds["counting"], (1 - model.silent) * model.miscounts * (1 - misjudged), N)
    assert abs(row["expected_accuracy"] + kinds["right, errors cancel"] - row["accuracy"]) < 0.03


def test_the_expected_count_error_is_that_of_the_words(tmp_path, asked):
    """Of k members a share is missed, of the others a share is taken in: m - g is on average their difference."""
    model = Model(missed=0.2, false=0.05, miscounts=0.4)
    row, _, made = split_of(tmp_path, asked, model)
    expected = sum(0.05 * (doc["length"] - doc["count"]) - 0.2 * doc["count"] for doc in asked["category_counting"]) / N
    assert row["count_error_membership_low"] - 0.1 < expected < row["count_error_membership_high"] + 0.1
    assert row["count_error"] == pytest.approx(row["count_error_membership"] + row["count_error_counting"])
    squares = row["squares_membership"] + row["squares_counting"] + row["squares_both"]
    table = split.joined(*_two(tmp_path))
    assert squares == pytest.approx(float(((table["answer"] - table["gold"]) ** 2).mean()))
    assert sum(each["lists"] for each in made["split_by_category"]) == N


def _two(folder):
    found = load.load([folder])
    return found.of("count")[0], found.of("membership")[0]


def test_lists_whose_words_were_not_asked_about_are_left_out(tmp_path, asked):
    fewer = {**asked, "category_counting_membership": asked["category_counting_membership"][:300]}
    row, kinds, _ = split_of(tmp_path, fewer, Model(missed=0.1))
    assert 10 < row["lists"] < 60
    assert sum(kinds.values()) == pytest.approx(1)


def test_a_word_without_yes_or_no_leaves_a_wrong_answer_unjudged(tmp_path, asked):
    model = Model(miscounts=1.0)

    def answer(doc):
        return "Who knows?" if doc.get("variant") == "membership" else model.answer(doc)

    found = load.load([write_run(tmp_path, asked, answer)])
    made = split.tables(found)
    kinds = {each["kind"]: each["share"] for each in made["split_kinds"]}
    assert kinds["not judged"] == 1
    assert made["split"][0]["words_unparsed"] == 1
    assert made["split"][0]["counting_errors"] is None


def test_without_membership_there_is_no_split(tmp_path, asked):
    alone = {"category_counting": asked["category_counting"]}
    assert split.tables(load.load([write_run(tmp_path, alone, Model().answer)])) == {}


@pytest.mark.full
def test_the_intervals_of_the_kinds_hold_their_level(tmp_path):
    """Over 200 made models, Wilson's interval of the parsing share holds the rate in 90 to 99 %."""
    small = documents(120, seed=5)
    held = 0
    for seed in range(200):
        model = Model(missed=0.1, miscounts=0.1, silent=0.2, seed=seed)
        found = load.load([write_run(tmp_path / str(seed), small, model.answer)])
        (row,) = [each for each in split.tables(found)["split_kinds"] if each["kind"] == "parsing"]
        held += row["low"] <= 0.2 <= row["high"]
    assert 180 <= held <= 198
