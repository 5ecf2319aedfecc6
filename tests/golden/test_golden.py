"""Runs every golden case in the folders next to this file. Adding a case means editing the JSON only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmx_metrics import counting, format_score, golden, overlap, structure, termination
from lmx_metrics.math import scoring

FOLDER = Path(__file__).parent


def score_constraint50(doc: dict[str, Any], text: str) -> dict[str, float]:
    return {**structure.score(text), **format_score.score(text), **termination.score(text)}


def score_math(doc: dict[str, Any], text: str) -> dict[str, float]:
    return scoring.score(text, doc["answer"])


def score_counting(doc: dict[str, Any], text: str) -> dict[str, float]:
    answer = counting.parse_count(text, doc.get("category", ""), doc.get("length"))
    return {"answer": -1 if answer is None else answer}  # -1: unparsed


def score_overlap(doc: dict[str, Any], text: str) -> dict[str, float]:
    return overlap.score(text, doc["references"])


SCORERS = {
    "category_counting": score_counting,
    "constraint50": score_constraint50,
    "lmx_math": score_math,
    "overlap": score_overlap,
}
CASES = [
    pytest.param(folder, case, id=f"{folder}/{path.stem}: {case.name}")
    for folder in SCORERS
    for path in sorted((FOLDER / folder).glob("*.json"))
    for case in golden.load(path)
]


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_golden_case(folder: str, case: golden.Case) -> None:
    wrong = golden.check(case, SCORERS[folder])
    assert not wrong, f"{case.why}\n" + "\n".join(wrong)


def test_there_are_cases_for_every_metric() -> None:
    cases = {folder: [param.values[1] for param in CASES if param.values[0] == folder] for folder in SCORERS}
    named = {folder: {name for case in cases[folder] for name in case.expected} for folder in SCORERS}
    assert len(cases["constraint50"]) >= 40
    left_out = {"share_strict", "share_loose", "stop_unknown"}
    assert named["constraint50"] >= set(score_constraint50({}, "text")) - left_out
    assert named["lmx_math"] == {"math_equal", "exact_match", "parse_rate", "truncated"}
    assert named["overlap"] == {*overlap.METRICS, "unscorable"}
    judged = [case.expected["math_equal"] for case in cases["lmx_math"] if "math_equal" in case.expected]
    answers = [case.expected["answer"] for case in cases["category_counting"]]
    assert len(answers) >= 120
    assert answers.count(-1) >= 60
    assert judged.count(1) >= 60
    assert judged.count(0) >= 300


def test_a_wrong_value_is_reported() -> None:
    case = golden.Case("n", "w", "lol", {"goal_strict": 1, "no_such": 0})
    first, second = golden.check(case, score_constraint50)
    assert first == "goal_strict: expected 1, got 0"
    assert second.startswith("no_such: there is no such metric")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected a list"),
        ([{"name": "a"}], "case 1: field 'why' is missing"),
        ([{"name": "a", "why": "b", "response": "", "expected": {}}], "at least one metric"),
        ([{"name": "a", "why": "b", "response": "", "expected": {"x": 1}, "wy": 0}], "unknown field 'wy'"),
        ([{"name": "a", "why": "b", "response": "", "expected": {"x": 1}, "trace": {}}], "needs 'finish'"),
        ([{"name": "a", "why": "b", "response": "", "expected": {"x": 1}}] * 2, "two cases are called 'a'"),
    ],
)
def test_a_damaged_file_says_where(tmp_path: Path, rows: list[Any], message: str) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        golden.load(path)
