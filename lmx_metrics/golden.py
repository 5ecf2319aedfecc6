"""Golden cases: metric examples in JSON that a person can read and add to without Python.

A file holds a list of cases:

    {"name": "marker in a sentence", "why": "the marker must stand alone on its line",
     "doc": {}, "response": "... <END>",
     "trace": {"finish": "length", "n_tokens": 256},   (optional; without it token counts are estimates)
     "expected": {"end_marker_strict": 0}, "tolerance": 0}

`response` may be a list of lines instead, joined with line breaks. In `trace`, `tokens` may give the ids
themselves in place of `n_tokens`. Only the metrics named in `expected` are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FIELDS = {"name", "why", "doc", "response", "trace", "expected", "tolerance"}
REQUIRED = ("name", "why", "response", "expected")

Scorer = Callable[[dict[str, Any], str], Mapping[str, Any]]


class TracedText(str):
    """A string with a `trace`, as a decoder's completion has one."""

    trace: SimpleNamespace | None = None


@dataclass(frozen=True)
class Case:
    """One golden case. `tolerance` is absolute and holds for every expected value."""

    name: str
    why: str
    response: str
    expected: dict[str, float]
    doc: dict[str, Any] = field(default_factory=dict)
    trace: dict[str, Any] | None = None
    tolerance: float = 0.0

    def text(self) -> str:
        """The response, with a trace where the case gives one."""
        if self.trace is None:
            return self.response
        text = TracedText(self.response)
        tokens = self.trace.get("tokens", list(range(int(self.trace.get("n_tokens", 0)))))
        text.trace = SimpleNamespace(tokens=tokens, finish=self.trace["finish"], extra={})
        return text


def load(path: Path) -> list[Case]:
    """Read a file of cases. Raises ValueError that names the file, the case and the field."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: expected a list of cases")
    cases = [_case(row, f"{path}, case {number}") for number, row in enumerate(rows, start=1)]
    names = [case.name for case in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: two cases are called {twice[0]!r}")
    return cases


def _case(row: Any, where: str) -> Case:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected an object")
    if missing := [name for name in REQUIRED if name not in row]:
        raise ValueError(f"{where}: field {missing[0]!r} is missing")
    if unknown := sorted(set(row) - FIELDS):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}. Valid: {', '.join(sorted(FIELDS))}")
    if not isinstance(row["expected"], dict) or not row["expected"]:
        raise ValueError(f"{where}: field 'expected' must name at least one metric")
    if row.get("trace") is not None and "finish" not in row["trace"]:
        raise ValueError(f"{where}: field 'trace' needs 'finish'")
    response = row["response"]
    return Case(**{**row, "response": "\n".join(response) if isinstance(response, list) else response})


def check(case: Case, score: Scorer) -> list[str]:
    """What is wrong: one line for each expected value that `score(doc, text)` does not give, or nothing."""
    return compare(case.expected, score(case.doc, case.text()), case.tolerance)


def compare(expected: Mapping[str, float], got: Mapping[str, Any], tolerance: float) -> list[str]:
    """Lines for metrics that are absent or further than `tolerance` from the expected value."""
    wrong = []
    for name, value in expected.items():
        if name not in got:
            wrong.append(f"{name}: there is no such metric. Valid: {', '.join(sorted(got))}")
        elif not abs(float(got[name]) - value) <= tolerance:
            wrong.append(f"{name}: expected {value:g}, got {float(got[name]):g}")
    return wrong
