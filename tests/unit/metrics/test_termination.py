"""How generations end: marker, cause, loops; nothing after the marker may make a score better."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lmx_metrics import termination
from lmx_metrics.golden import TracedText
from lmx_metrics.termination import score, stop_cause, tail_repeats

HIGHER_IS_BETTER = (
    "marker_emitted",
    "marker_once",
    "marker_own_line",
    "marker_last",
    "stop_eos",
    "stop_marker",
)
LOWER_IS_BETTER = ("chars_after_marker", "truncated_before_marker", "tokens_over_limit")
PIECES = st.sampled_from(
    ["<END>", "\n", " ", "x", "<END", ">", "<think>", "<th", "ink>", "- Keep it.\n", "Goal\n", "\r"]
)
TAILS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=10).map("".join))


def traced(text: str, finish: str, tokens: list[int]) -> TracedText:
    out = TracedText(text)
    out.trace = SimpleNamespace(tokens=tokens, finish=finish, extra={})
    return out


@given(st.lists(PIECES, max_size=8).map("".join), TAILS, TAILS, st.sampled_from(["eos", "length", None]))
@settings(max_examples=400, deadline=None)
def test_text_after_the_marker_never_makes_a_score_better(head: str, tail: str, added: str, finish: str | None) -> None:
    text = f"{head}<END>{tail}"
    # a closing tag without an opening one turns everything before it into reasoning: no answer text at all
    assume("</think>" not in text + added and score(text)["marker_emitted"])
    before, after = text, text + added
    if finish:
        before, after = traced(before, finish, [1, 2, 3]), traced(after, finish, [1, 2, 3] + [4] * len(added))
    old, new = score(before), score(after)
    assert all(new[name] <= old[name] for name in HIGHER_IS_BETTER)
    assert all(new[name] >= old[name] for name in LOWER_IS_BETTER)


@given(st.text(max_size=200), st.sampled_from(["eos", "stop", "length", "context", "odd", None]))
@settings(max_examples=200, deadline=None)
def test_never_raises_and_has_exactly_one_cause(text: str, finish: str | None) -> None:
    values = score(text if finish is None else traced(text, finish, list(text.encode()[:50])))
    assert sum(values[f"stop_{cause}"] for cause in termination.STOP_CAUSES) == 1
    assert all(isinstance(value, float) and value == value for value in values.values())


@pytest.mark.parametrize(
    ("finish", "tokens", "cause"),
    [
        ("eos", [1, 2], "eos"),
        ("stop", [1, 2], "marker"),
        ("length", [1, 2], "length"),
        ("context", [1, 2], "length"),
        ("length", [1, 2, 3] * 20, "repetition"),
        ("eos", [1, 2, 3] * 20, "eos"),
        ("strange", [1], "unknown"),
    ],
)
def test_stop_cause(finish: str, tokens: list[int], cause: str) -> None:
    assert stop_cause(traced("text", finish, tokens)) == cause


def test_a_plain_string_has_an_unknown_cause() -> None:
    assert stop_cause("text <END>") == "unknown"
    # what strips or slices a completion loses its trace
    assert stop_cause(traced(" text ", "eos", [1]).strip()) == "unknown"


@pytest.mark.parametrize(
    ("items", "looping"),
    [
        ([], False),
        ([7] * 11, False),
        ([7] * 12, True),
        ([1, 2, 3] * 4, True),
        ([1, 2, 3] * 3, False),
        ([9, 9] + [1, 2, 3, 4] * 4 + [1, 2], True),
        ([1, 2, 3, 4] * 4 + [5], False),
        (list(range(64)) * 4, True),
        (list(range(65)) * 4, False),
        (list(range(300)), False),
    ],
)
def test_tail_repeats(items: list[int], looping: bool) -> None:
    assert tail_repeats(items) is looping


def test_a_final_end_of_text_id_does_not_hide_a_loop() -> None:
    assert score(traced("go " * 30, "eos", [5] * 30 + [0]))["repetition"] == 1
    assert score(traced("go " * 30, "eos", [5] * 30))["repetition"] == 1
    assert score(traced("done", "eos", [5, 6, 0]))["repetition"] == 0
