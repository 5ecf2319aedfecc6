"""Tasks of Super-NaturalInstructions: what they must look like, and the documents made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_tasks import instructions
from lmx_tasks.common import data_file, or_gzipped
from lmx_tasks.instructions import input_of, objects_of, stopped, text_of, texts_of
from lmx_tasks.prepared import PLAIN, verified

HERE = Path(__file__).resolve().parent
KEY = "Task"
NAME = "superni"
_NOWHERE = Path("nowhere")


def tasks(data_dir: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the tasks in `<data_dir>/superni/test.jsonl` or its gzipped form, with their places.

    Raises:
        UserError: there is no such file, or a task in it is damaged.
    """
    path = data_file(NAME, PLAIN, _NOWHERE, data_dir)
    if path is _NOWHERE:
        raise UserError(
            "superni: its data do not come with the package. Get them with `lmx data prepare superni SOURCE -o FOLDER` "
            'and give --metadata \'{"data_dir": "FOLDER"}\', or run superni_mini, which needs none'
        )
    return instructions.read_tasks(verified(or_gzipped(path)), KEY)


def mini(data_dir: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the shipped tasks of our own, or those in `<data_dir>/superni_mini/mini.jsonl`."""
    return instructions.read_tasks(data_file("superni_mini", "mini.jsonl", HERE / "data" / "mini.jsonl", data_dir), KEY)


def documents(
    rows: list[tuple[str, dict[str, Any]]], chosen: Any = None, instances: Any = None
) -> list[dict[str, Any]]:
    """Return the documents of tasks, in order; `chosen`: names of tasks, `instances`: how many of each.

    Raises:
        UserError: a task is damaged or is not there, or an instance's id stands there twice.
    """
    most = instructions.instances_a_task(instances)
    docs: list[dict[str, Any]] = []
    for where, row in instructions.chosen(rows, KEY, chosen):
        docs += _documents(row, where, most)
    seen: dict[str, str] = {}
    for doc in docs:
        if doc["id"] in seen:
            raise UserError(
                f"instance {doc['id']!r} stands in {seen[doc['id']]} and again in {doc['task']}: keep one of them"
            )
        seen[doc["id"]] = doc["task"]
    return docs


def check(row: Mapping[str, Any], where: str) -> None:
    """Raise a `UserError` unless documents can be made of all instances of a task."""
    seen: set[str] = set()
    for doc in _documents(row, where, None):
        if doc["id"] in seen:
            raise UserError(f"{where}: task {row[KEY]} has two instances with the id {doc['id']!r}: keep one of them")
        seen.add(doc["id"])


def _documents(row: Mapping[str, Any], where: str, most: int | None) -> list[dict[str, Any]]:
    name = text_of(row, KEY, where)
    what = f"task {name}: "
    definition = _definition(row, where, what)
    category = texts_of(row, "Categories", where, what)[0]
    examples = [_example(each, where, what) for each in row.get("Positive Examples") or []]
    docs = []
    for number, instance in enumerate(objects_of(row, "Instances", where, what)[:most], start=1):
        inside = f"{what}instance {number}: "
        docs.append(
            {
                "id": text_of(instance, "id", where, inside),
                "task": name,
                "category": category,
                "definition": definition,
                "question": f"Input: {stopped(input_of(instance, where, inside))}\n\nOutput:",
                "references": texts_of(instance, "output", where, inside),
                "examples": examples,
            }
        )
    return docs


def _definition(row: Mapping[str, Any], where: str, what: str) -> str:
    value = row.get("Definition")
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, str) or not first.strip():
        raise UserError(f"{where}: {what}it has no definition (field 'Definition'), which is its whole prompt")
    return first.strip()


def _example(row: Any, where: str, what: str) -> dict[str, str]:
    inside = f"{what}positive example: "
    if not isinstance(row, dict):
        raise UserError(f"{where}: {inside}must be an object with input and output")
    answer = texts_of(row, "output", where, inside)[0]
    return {"question": f"Input: {stopped(input_of(row, where, inside))}\n Output: ", "answer": stopped(answer)}
