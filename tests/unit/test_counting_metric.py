"""The counting metric: what counts as a number, and that silence never pays."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx_metrics import counting


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("\n3\n", 3),
        ("**6**", 6),
        ("The answer is **two**.", 2),
        ("There are 4 fruits in this list of 10 words.", 4),
        ("In the list of 10 words, there are three.", 3),
        ("1. apple\n2. pear\nTotal: 2", 2),
        ("3 fruits: apple, pear, plum", 3),
        ("\\boxed{5}", 5),
        ("<think>it may be 9</think>4", 4),
        ("None", 0),
        ("-3", None),
        ("3.5", None),
        ("50%", None),
        ("12,000", None),
        ("many", None),
        ("Someone", None),
        ("", None),
    ],
)
def test_parse_count(text, number):
    assert counting.parse_count(text) == number


@given(st.text(max_size=200))
def test_parse_count_never_raises(text):
    found = counting.parse_count(text)
    assert found is None or found >= 0


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 15))
def test_an_answer_within_the_list_is_never_worse_than_silence(gold, length, answer):
    gold, answer = min(gold, length), min(answer, length)
    spoken, silent = counting.score(str(answer), gold, length), counting.score("no idea", gold, length)
    assert spoken["abs_error_all"] <= silent["abs_error_all"]
    assert silent["accuracy"] == silent["parse_rate"] == 0.0
    assert silent["abs_error"] is None
    assert spoken["accuracy"] == float(answer == gold)


def test_bias_has_a_sign_and_unparsed_answers_have_none():
    assert counting.score("2", 5, 9)["bias"] == -3.0
    assert counting.mean_parsed([-3.0, None, 1.0]) == -1.0
    assert math.isnan(counting.mean_parsed([None]))


def test_by_count_counts_unparsed_answers_as_wrong():
    rows = [
        {"gold": 2, "accuracy": 1.0, "bias": 0.0},
        {"gold": 2, "accuracy": 0.0, "bias": None},
        {"gold": 0, "accuracy": 0.0, "bias": 1.0},
    ]
    table = counting.by_count(rows)
    assert table[1] == {"count": 2, "n": 2, "accuracy": 0.5, "mean_answer": 2.0}
    assert table[0]["mean_answer"] == 1.0
    assert str(table) == "0:0.00 2:0.50"
    assert counting.by_count([{"gold": 1, "accuracy": 0.0, "bias": None}])[0]["mean_answer"] is None
