"""The counting metric: what counts as a number, and that silence never pays."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx_metrics import counting
from lmx_metrics.count_numbers import NUMBER_WORDS


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


PIECES = [
    "first 1 ", "at first 3 but ", "between 1 and ", "1 + ", "- 1 ", "1, ", "(1) ", "1. a\n", "a: 1\n", "is 1, ",
    "no \n", "not 1 ", "wait ", "oh ", "3 of ", "the 7 words ", "| 1 ", "\n", "<b>", "*\n", "**\n", "$", "1", "1.",
    "1,1", "1/", "a", "a1", "_", " ", "\t", "(", "1 (a) ", "all of ", "total of ", "answer:\n", "```\n", "\\boxed{",
    "is ", "?", "½", "fruits ",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_the_time_is_linear_in_the_length(piece):
    seconds = []
    for length in (2_000, 16_000):
        text = (piece * length)[:length]
        seconds.append(min(_seconds(text) for _ in range(2)))
    assert seconds[1] < 1
    assert seconds[1] < 24 * seconds[0] + 0.02  # eight times as long; 64 where it is quadratic


def _seconds(text):
    begin = time.process_time()
    counting.parse_count(text, "fruits", 7)
    return time.process_time() - begin


WORDS = [
    "3", "7", "12", "four", "twenty-one", "0", "1.", "2)", "-", "or", "and", "of the", "words", "fruits", "tools",
    "are", "there are", "not", "wait,", "so", "answer:", "total", "=", "+", "/", "%", "(", ")", "\n", ".", ",", "?",
    "|", "one", "first", "but", "**", "at least", "10 words", "out of", "count", "```", "½", "1,000", "list", "is",
    "2.5", "dozen",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), st.sampled_from(["", "fruits"]))
def test_no_number_is_made_up(text, category):
    found = counting.parse_count(text, category)
    named = {int(digits) for digits in re.findall(r"\d+", text)} | {0}
    named |= {value for word, value in NUMBER_WORDS.items() if word in text} | ({21} if "twenty-one" in text else set())
    assert found is None or found in named


@given(
    st.lists(st.sampled_from(["all", "of", "them", "are", "fruits", "the", "words", "but", "not", "5"]), max_size=12)
)
def test_the_length_of_the_list_is_only_said_by_words_for_all(words):
    found = counting.parse_count(" ".join(words), "fruits", 9)
    assert found in (None, 5) or (found == 9 and "all" in words)
