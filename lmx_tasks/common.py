"""What tasks share: where their data lie, and how a file of JSON lines is read, with errors that name the line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.jsonl import rows


def data_file(task: str, name: str, shipped: Path, data_dir: Any = None) -> Path:
    """Where a task's data lie: `<data_dir>/<task>/<name>` when a folder is given, else the shipped file.

    The folder comes from `--metadata '{"data_dir": "..."}'`, else from `LMX_DATA_DIR`. The first is a
    request, so the file must be there. The second may hold other tasks' data only: without a `<task>` folder
    in it, the shipped file is used.
    """
    asked, source = data_dir, "--metadata data_dir"
    if asked is None and os.environ.get("LMX_DATA_DIR"):
        asked, source = os.environ["LMX_DATA_DIR"], "LMX_DATA_DIR"
    if asked is None:
        return shipped
    if not isinstance(asked, str) or not asked:
        raise UserError(f"{source} must be the path of a folder, not {asked!r}")
    folder = Path(asked).expanduser()
    if not folder.is_dir():
        raise UserError(f"{source}: there is no folder {folder}. Give a folder that holds {task}/{name}")
    if source == "LMX_DATA_DIR" and not (folder / task).is_dir():
        return shipped
    return folder / task / name


def or_gzipped(path: Path) -> Path:
    """Return a file, or its gzipped form where only that is there."""
    gzipped = path.with_name(path.name + ".gz")
    return gzipped if not path.exists() and gzipped.exists() else path


def load_jsonl(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Read one JSON object a line with the text `fields`, the first of them unique; blank lines are skipped.

    Raises `UserError` that names the file, the line and the field.
    """
    found: list[dict[str, str]] = []
    seen: dict[str, str] = {}
    for where, row in rows(path, fields):
        texts = _texts(row, where, fields)
        key = texts[fields[0]]
        if key in seen:
            raise UserError(f"{where}: {fields[0]} {key!r} was used on {seen[key]}")
        seen[key] = where.removeprefix(f"{path}, ")
        found.append(texts)
    return found


def _texts(row: dict[str, Any], where: str, fields: Sequence[str]) -> dict[str, str]:
    for field in fields:
        if field not in row:
            found = ", ".join(row) or "nothing"
            raise UserError(f"{where}: field {field!r} is missing. Found: {found}")
        if not isinstance(row[field], str) or not row[field].strip():
            raise UserError(f"{where}: field {field!r} must be text that is not empty, not {row[field]!r}")
    return {field: row[field] for field in fields}
