"""Tables of a counting run. Unparsed answers are wrong and never left out; errors are in words of the list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis.counting import baselines
from lmx_analysis.counting.load import NUMBERS, Answers, Counted
from lmx_analysis.stats import wilson

Rows = list[dict[str, Any]]
EVERY = "all"


def all_tables(found: Counted) -> dict[str, Rows]:
    """Return every table by the name of its file; empty ones are left out.

    Where questions have several sources (word lists, a model), each table has rows for all and for each source, in
    the column `items`.
    """
    made: dict[str, Rows] = {
        "overall": [], "by_category": [], "by_count": [], "by_length": [], "by_position": [], "by_format": [],
        "responses": [], "confusion": [], "errors": [], "parts": [], "membership": [], "membership_by_category": [],
    }  # fmt: skip
    for answers in found.tasks:
        for name, rows in (_numbers(answers) if answers.variant in NUMBERS else _words(answers)).items():
            made[name] += rows
    return {name: rows for name, rows in made.items() if rows}


def _selections(answers: Answers) -> Iterator[tuple[dict[str, Any], pd.Series]]:
    """Yield all questions, and those of each source where there are several."""
    source = answers.table["source"]
    yield {"task": answers.task, "items": EVERY}, pd.Series(True, index=source.index)
    if source.nunique() > 1:
        for name in sorted(source.unique()):
            yield {"task": answers.task, "items": name}, source == name


def _numbers(answers: Answers) -> dict[str, Rows]:
    table = answers.table
    base = pd.DataFrame(baselines.of_numbers(table, answers.variant), index=table.index)
    made: dict[str, Rows] = {}
    for head, chosen in _selections(answers):
        part, beside = table[chosen], base[chosen]
        made.setdefault("overall", []).append(head | summary(part, beside))
        for name, column in (("category", "category"), ("count", "gold"), ("length", "length"),
                             ("position", "position"), ("format", "format")):  # fmt: skip
            if name in ("position", "format") and table[column].nunique() < 2:
                continue
            rows = made.setdefault(f"by_{name}", [])
            rows += [
                head | {name: value} | summary(group, beside.loc[group.index])
                for value, group in part.groupby(column, sort=True)
            ]
        made.setdefault("responses", []).extend(head | row for row in responses(part))
        made.setdefault("confusion", []).extend(head | row for row in confusion(part))
        made.setdefault("errors", []).extend(head | row for row in patterns(part))
        if answers.variant == "partitioned":
            made.setdefault("parts", []).append(head | _parts(part))
    return made


def summary(table: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    """Return rates of some questions with Wilson's 95 % interval of accuracy, and the baselines on the same ones."""
    parsed = table["answer"].notna()
    error = (table["answer"] - table["gold"])[parsed]
    interval = wilson(float(table["right"].sum()), len(table))
    return {
        "n": len(table),
        "accuracy": float(table["right"].mean()),
        "low": interval.low,
        "high": interval.high,
        "parse_rate": float(parsed.mean()),
        "abs_error": float(error.abs().mean()) if len(error) else None,
        "bias": float(error.mean()) if len(error) else None,
        "mean_answer": float(table["answer"].mean()) if len(error) else None,
        "says_zero": float((table["answer"] == 0).mean()),
        **{name: _mean(base[name]) for name in base},
    }


def _mean(values: pd.Series) -> float | None:
    return None if values.isna().any() else float(values.mean())


def responses(table: pd.DataFrame) -> Rows:
    """Return how often each number was answered, beside how often it was right to; and the unparsed."""
    n = len(table)
    said = table["answer"].dropna().astype(int).value_counts()
    right = table["gold"].value_counts()
    rows: Rows = [
        {"answer": value, "times": int(said.get(value, 0)), "share": said.get(value, 0) / n,
         "right_share": right.get(value, 0) / n}
        for value in sorted({*map(int, said.index), *map(int, right.index)})
    ]  # fmt: skip
    silent = int(table["answer"].isna().sum())
    return [*rows, {"answer": "unparsed", "times": silent, "share": silent / n, "right_share": 0.0}]


def confusion(table: pd.DataFrame) -> Rows:
    """Return how often each right count got each answer."""
    said = table["answer"].map(lambda value: "unparsed" if np.isnan(value) else int(value))
    times = pd.crosstab(table["gold"], said)
    return [
        {"count": int(gold), "answer": answer, "times": int(row[answer]), "share": float(row[answer] / row.sum())}
        for gold, row in times.iterrows()
        for answer in row.index
        if row[answer]
    ]


def patterns(table: pd.DataFrame) -> Rows:
    """Return the share of each kind of answer; every answer is of exactly one."""
    answer, gold, length = table["answer"], table["gold"], table["length"]
    off = answer - gold
    kinds = {
        "right": table["right"].astype(bool),
        "unparsed": answer.isna(),
        "says zero": answer == 0,
        "says the length of the list": (answer == length) & (gold != length),
        "one too few": off == -1,
        "one too many": off == 1,
        "two or more too few": off < -1,
        "two or more too many": off > 1,
    }
    left = pd.Series(True, index=table.index)
    rows: Rows = []
    for kind, mask in kinds.items():
        chosen = mask & left
        left &= ~chosen
        rows.append({"pattern": kind, "times": int(chosen.sum()), "share": float(chosen.mean())})
    return rows


def _parts(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "n": len(table),
        "total_right": float(table["right"].mean()),
        "parts_right": float(table["parts_right"].mean()),
        "all_parts_right": float((table["parts_right"] == 1).mean()),
        "parts_parsed": float(table["parts_parsed"].mean()),
        "total_is_sum_of_parts": None if table["sum_agrees"].isna().all() else float(table["sum_agrees"].mean()),
    }


def _words(answers: Answers) -> dict[str, Rows]:
    table = answers.table
    base = pd.DataFrame(baselines.of_membership(table), index=table.index)
    made: dict[str, Rows] = {"membership": [], "membership_by_category": []}
    for head, chosen in _selections(answers):
        part = table[chosen]
        made["membership"].append(head | _word_summary(part, base[chosen]))
        made["membership_by_category"] += [
            head | {"category": value} | _word_summary(group, base.loc[group.index])
            for value, group in part.groupby("category", sort=True)
        ]
    return made


def _word_summary(table: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    interval = wilson(float(table["right"].sum()), len(table))
    members = table["member"].astype(bool)
    return {
        "n": len(table),
        "accuracy": float(table["right"].mean()),
        "low": interval.low,
        "high": interval.high,
        "parse_rate": float(table["yes"].notna().mean()),
        "says_yes": None if table["yes"].isna().all() else float(table["yes"].mean()),
        "members": float(members.mean()),
        "accuracy_members": float(table.loc[members, "right"].mean()) if members.any() else None,
        "accuracy_others": float(table.loc[~members, "right"].mean()) if (~members).any() else None,
        **{name: float(base[name].mean()) for name in base},
    }
