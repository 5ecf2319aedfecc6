"""What is known of tasks beside the results: their definitions, categories and source data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.reading import lines

LARGEST = 1 << 30
"""Bytes of a file after unpacking."""


@dataclass(frozen=True)
class About:
    """A task's definition and category, empty if unknown, and the data sets that it was made of."""

    definition: str = ""
    category: str = ""
    sources: tuple[str, ...] = ()


def read(path: Path) -> dict[str, About]:
    """Read JSON lines, gzipped or not, with the fields of natural-instructions (Task, Definition, Categories, Source).

    The same names in lower case (task, definition, category, source) do as well; each may be a text or a list of them.

    Raises:
        UserError: the file cannot be read, or a line has no task or one that was there before.
    """
    found: dict[str, About] = {}
    for number, line in lines(path, LARGEST):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = jsonl.parse(line, f"{where}: not JSON")
        if not isinstance(row, dict):
            raise UserError(f"{where}: not a JSON object")
        names = _texts(row, "Task", "task", "task_path")
        if not names:
            raise UserError(f"{where}: it names no task (field 'Task')")
        if names[0] in found:
            raise UserError(f"{where}: task {names[0]!r} is there twice: keep one of them")
        definition = _texts(row, "Definition", "definition", "task_prefix", "description")
        category = _texts(row, "Categories", "category", "keywords")
        found[names[0]] = About("".join(definition[:1]), "".join(category[:1]), _texts(row, "Source", "source"))
    return found


def _texts(row: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """Return the texts of the first field that has any."""
    for name in names:
        value = row.get(name)
        texts = value if isinstance(value, list) else [value]
        kept = tuple(text.strip() for text in texts if isinstance(text, str) and text.strip())
        if kept:
            return kept
    return ()
