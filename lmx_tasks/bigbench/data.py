"""JSON tasks of BIG-bench: what they must look like, and the documents made of them.

The layout of an example is BIG-bench's own: prefixes before input and output, and the choices listed between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.values import read_bool
from lmx_tasks import instructions
from lmx_tasks.common import data_file, or_gzipped
from lmx_tasks.instructions import input_of, objects_of, text_of, texts_of
from lmx_tasks.prepared import PLAIN, verified

HERE = Path(__file__).resolve().parent
KEY = "task_path"
NAME = "bigbench"
DEFAULTS = {"example_input_prefix": "\nQ: ", "example_output_prefix": "\nA: ", "choice_prefix": "\n  choice: "}
"""What BIG-bench puts in where a task says nothing."""
_NOWHERE = Path("nowhere")


def tasks(data_dir: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the tasks in `<data_dir>/bigbench/test.jsonl` or its gzipped form, with their places.

    Raises:
        UserError: there is no such file, or a line of it is damaged.
    """
    path = data_file(NAME, PLAIN, _NOWHERE, data_dir)
    if path is _NOWHERE:
        raise UserError(
            "bigbench_lmx: its data do not come with the package. Get them with `lmx data prepare bigbench SOURCE -o "
            'FOLDER` and give --metadata \'{"data_dir": "FOLDER"}\', or run bigbench_mini, which needs none'
        )
    return instructions.read_tasks(verified(or_gzipped(path)), KEY)


def mini(data_dir: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the shipped tasks of our own, or those in `<data_dir>/bigbench_mini/mini.jsonl`."""
    path = data_file("bigbench_mini", "mini.jsonl", HERE / "data" / "mini.jsonl", data_dir)
    return instructions.read_tasks(path, KEY)


def documents(
    rows: list[tuple[str, dict[str, Any]]], chosen: Any = None, instances: Any = None
) -> list[dict[str, Any]]:
    """Return the documents of tasks, in order; `chosen`: names of tasks, `instances`: how many of each.

    Raises:
        UserError: a task is damaged or is not there.
    """
    most = instructions.instances_a_task(instances)
    docs: list[dict[str, Any]] = []
    for where, row in instructions.chosen(rows, KEY, chosen):
        docs += _documents(row, where, most)
    return docs


def with_choices(docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents that offer a choice; raise `UserError` if there is none."""
    kept = [doc for doc in docs if doc["choices"]]
    if not kept:
        raise UserError("none of the tasks offers choices (target_scores): run the generative task, or other tasks")
    return kept


def check(row: Mapping[str, Any], where: str) -> None:
    """Raise a `UserError` unless documents can be made of all examples of a task."""
    _documents(row, where, None)


def _documents(row: Mapping[str, Any], where: str, most: int | None) -> list[dict[str, Any]]:
    name = text_of(row, KEY, where)
    what = f"task {name}: "
    definition = next(
        (row[each].strip() for each in ("task_prefix", "description") if str(row.get(each) or "").strip()), None
    )
    if not isinstance(definition, str) or not definition:
        raise UserError(f"{where}: {what}it has no definition (fields 'task_prefix', 'description')")
    keywords = [each for each in row.get("keywords") or [] if isinstance(each, str)]
    docs = []
    for number, example in enumerate(objects_of(row, "examples", where, what)[:most], start=1):
        inside = f"{what}example {number}: "
        scores = _scores(example, where, inside)
        docs.append(
            {
                "id": f"{name}/{number}",
                "task": name,
                "category": keywords[0] if keywords else "none",
                "definition": definition,
                "question": _question(row, input_of(example, where, inside), list(scores), where, what),
                "references": _references(example, scores, where, inside),
                "examples": [],
                "choices": list(scores),
                "scores": list(scores.values()),
            }
        )
    return docs


def _question(row: Mapping[str, Any], asked: str, choices: list[str], where: str, what: str) -> str:
    marks = {name: row[name] if isinstance(row.get(name), str) else default for name, default in DEFAULTS.items()}
    listed = ""
    if choices and read_bool(f"{where}: {what}append_choices_to_input", row.get("append_choices_to_input", True)):
        listed = "".join(f"{marks['choice_prefix']}{choice}" for choice in choices)
    return f"{marks['example_input_prefix']}{asked}{listed}{marks['example_output_prefix']}".strip()


def _scores(example: Mapping[str, Any], where: str, what: str) -> dict[str, float]:
    scores = example.get("target_scores", {})
    good = isinstance(scores, dict) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in scores.values()
    )
    if not good or ("target_scores" in example and not scores):
        raise UserError(f"{where}: {what}field 'target_scores' must give each choice a number")
    return {choice: float(value) for choice, value in scores.items()}


def _references(example: Mapping[str, Any], scores: Mapping[str, float], where: str, what: str) -> list[str]:
    if "target" in example or not scores:
        return texts_of(example, "target", where, what)
    best = max(scores.values())
    return [choice for choice, value in scores.items() if value == best]
