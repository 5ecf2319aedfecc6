"""What tasks share: where their data lie, and how a file of JSON lines is read, with errors that name the line."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError


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


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a file, of an archive if it is called `.gz`.

    Raises:
        UserError: it cannot be read, or the archive breaks off or is none; it names the line reached.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}, line {number + 1}: not a whole gzip file ({error}). Was it cut off?") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def parse_object(line: bytes, where: str, fields: Sequence[str]) -> dict[str, Any]:
    """Return the object on a line; `fields` are those that it should have, for the message alone.

    Raises:
        UserError: it is no UTF-8, no JSON, or no object.
    """
    try:
        row = json.loads(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start + 1}. Save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        place = f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{where}: not valid JSON{place}. Is the line truncated?") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a JSON object with {', '.join(fields)}, got {type(row).__name__}")
    return row


def load_jsonl(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Read one JSON object a line with the text `fields`, the first of them unique; blank lines are skipped.

    Raises `UserError` that names the file, the line and the field.
    """
    rows: list[dict[str, str]] = []
    seen: dict[str, int] = {}
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = _texts(parse_object(line, where, fields), where, fields)
        key = row[fields[0]]
        if key in seen:
            raise UserError(f"{where}: {fields[0]} {key!r} was used on line {seen[key]}")
        seen[key] = number
        rows.append(row)
    if not rows:
        raise UserError(f"{path} is empty. It should hold one JSON object a line with {', '.join(fields)}")
    return rows


def _texts(row: dict[str, Any], where: str, fields: Sequence[str]) -> dict[str, str]:
    for field in fields:
        if field not in row:
            found = ", ".join(row) or "nothing"
            raise UserError(f"{where}: field {field!r} is missing. Found: {found}")
        if not isinstance(row[field], str) or not row[field].strip():
            raise UserError(f"{where}: field {field!r} must be text that is not empty, not {row[field]!r}")
    return {field: row[field] for field in fields}
