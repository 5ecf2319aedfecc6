"""Writes comparisons: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lmx_plugins.errors import UserError


def number(value: float | None, signed: bool = False) -> str:
    """Return a number with four decimals, as lm_eval prints it; a dash for none."""
    if value is None or math.isnan(value):
        return "—"
    return f"{value:+.4f}" if signed else f"{value:.4f}"


def p_value(value: float) -> str:
    """Return a p for print, never 0."""
    if math.isnan(value):
        return "—"
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def table(title: str, columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> Table:
    """Return a rich table; each column is its heading and whether it holds numbers (set to the right)."""
    made = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading, numeric in columns:
        made.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def console() -> Console:
    """Return the screen; in a pipe every row stays on one line, so that grep and cut work."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=10_000, soft_wrap=True)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, with the keys of all of them as columns; None, NaN and what a row lacks are empty cells."""
    out = io.StringIO()
    if rows:
        names = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if _nothing(value) else value for key, value in row.items()} for row in rows)
    return out.getvalue()


def json_text(value: Any) -> str:
    """Return indented JSON in which NaN and infinities, which JSON does not know, are null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a folder: all are written beside their places first, then renamed in the given order.

    Raises:
        UserError: the folder or a file cannot be written; then no file has changed.
    """
    drafts: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            draft = folder / f".{name}.{os.getpid()}.part"
            drafts.append((draft, folder / name))
            draft.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        for written, place in drafts:
            os.replace(written, place)
    except OSError as error:
        for written, _ in drafts:
            written.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise UserError(f"cannot write into {folder}: {reason}. Choose another folder with -o") from error


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if _nothing(value) else value
