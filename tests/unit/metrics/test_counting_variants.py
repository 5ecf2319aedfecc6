"""What holds for any answer to the variants of counting; what is accepted and refused stands in tests/golden."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx_metrics.count_numbers import NUMBER_WORDS
from lmx_metrics.count_parts import parse_length, parse_parts
from lmx_metrics.yes_no import parse_yes_no

WORDS = [
    "yes", "no", "not", "a trout", "it", "is", "isn't", "a fish", "fish", "bird", ".", ",", "\n", "wait,", "answer:",
    "or", "and", "if", "?", "3", "|", "2 | 0 | 1", "= 3", "total:", "part 1:", "seven", "words", "**", "list of",
]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))


@given(TEXTS)
def test_nothing_raises_and_no_number_is_made_up(text):
    assert parse_yes_no(text, "trout", "fish", "fish") in (True, False, None)
    named = {int(digits) for digits in re.findall(r"\d+", text) if digits.isascii()} | {0, *NUMBER_WORDS.values()}
    found = parse_parts(text, 3, "fish", 9)
    assert found.total is None or found.total in named | {9}
    assert found.counts is None or (len(found.counts) == 3 and set(found.counts) <= named)
    length = parse_length(text)
    assert length is None or length in named


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(0, 99))
def test_the_form_that_is_asked_for_is_read_back(counts, total):
    text = " | ".join(map(str, counts)) + f" = {total}"
    found = parse_parts(text, len(counts), "fruit", 40)
    assert found.counts == tuple(counts)
    assert found.total == total
    assert parse_parts(text, len(counts) + 2, "fruit", 40).counts is None


@pytest.mark.parametrize("word", ["yes", "no"])
def test_the_opposite_behind_an_answer_leaves_it_unread(word):
    other = {"yes": "no", "no": "yes"}[word]
    assert parse_yes_no(word) is (word == "yes")
    assert parse_yes_no(f"{word}\n{other}") is None


PIECES = ["yes ", "no ", "it is ", "a fish ", "is not a ", "| ", "1 | ", "1, ", "part 1 ", "words ", "list of ", "\n"]


@pytest.mark.parametrize("piece", PIECES)
def test_the_time_is_linear_in_the_length(piece):
    seconds = []
    for length in (2_000, 16_000):
        text = (piece * length)[:length]
        begin = time.process_time()
        parse_yes_no(text, "trout", "fish", "fish")
        parse_parts(text, 3, "fish", 9)
        parse_length(text)
        seconds.append(time.process_time() - begin)
    assert seconds[1] < 3
    assert seconds[1] < 24 * seconds[0] + 0.1  # eight times as long; 64 where it is quadratic
