"""Runs every golden case in the folders next to this file. Adding a case means editing the JSON only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmx_metrics import count_parts, counting, format_score, golden, overlap, structure, termination, yes_no
from lmx_metrics.math import scoring

FOLDER = Path(__file__).parent


def score_constraint50(doc: dict[str, Any], text: str) -> dict[str, float]:
    return {**structure.score(text), **format_score.score(text), **termination.score(text)}


def score_math(doc: dict[str, Any], text: str) -> dict[str, float]:
    return scoring.score(text, doc["answer"])


def score_counting(doc: dict[str, Any], text: str) -> dict[str, float]:
    answer = counting.parse_count(text, doc.get("category", ""), doc.get("length"))
    return {"answer": -1 if answer is None else answer}  # -1: unparsed


def score_membership(doc: dict[str, Any], text: str) -> dict[str, float]:
    said = yes_no.parse_yes_no(text, doc["word"], doc["category"], doc["plural"])
    return {"yes": -1 if said is None else float(said)}  # -1: unparsed


def score_parts(doc: dict[str, Any], text: str) -> dict[str, float]:
    found = count_parts.parse_parts(text, doc["parts"], doc["category"], doc["length"])
    counts = found.counts or (-1,) * doc["parts"]
    total = -1 if found.total is None else found.total
    return {**{f"part_{place}": count for place, count in enumerate(counts, 1)}, "total": total}


def score_length(doc: dict[str, Any], text: str) -> dict[str, float]:
    answer = count_parts.parse_length(text)
    return {"length": -1 if answer is None else answer}


def score_overlap(doc: dict[str, Any], text: str) -> dict[str, float]:
    return overlap.score(text, doc["references"])


SCORERS = {
    "category_counting": score_counting,
    "counting_length": score_length,
    "counting_membership": score_membership,
    "counting_parts": score_parts,
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
    for folder in ("counting_length", "counting_membership", "counting_parts"):
        unparsed = sum(-1 in case.expected.values() for case in cases[folder])
        assert unparsed >= 15, folder
        assert len(cases[folder]) - unparsed >= 20, folder
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
