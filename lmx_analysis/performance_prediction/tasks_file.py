"""What is known of tasks beside the results: their definitions, categories and source data sets."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.reading import open_following_links

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
    for number, line in enumerate(_lines(path), 1):
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


def _lines(path: Path) -> list[bytes]:
    with open_following_links(path) as raw:
        try:
            content = gzip.GzipFile(fileobj=raw).read(LARGEST + 1) if path.suffix == ".gz" else raw.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"cannot read {path}: it is cut off or damaged ({error})") from error
    if len(content) > LARGEST:
        raise UserError(f"{path} has more than {LARGEST >> 20} MiB: name the tasks' own file")
    return content.splitlines()


def _texts(row: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """Return the texts of the first field that has any."""
    for name in names:
        value = row.get(name)
        texts = value if isinstance(value, list) else [value]
        kept = tuple(text.strip() for text in texts if isinstance(text, str) and text.strip())
        if kept:
            return kept
    return ()
