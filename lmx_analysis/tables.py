"""Writes comparisons: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lmx_files import csv, jsonl
from lmx_files.atomic import write_files
from lmx_files.hashing import sha256
from lmx_files.safety import terminal

__all__ = ["console", "csv_text", "json_text", "number", "p_value", "sha256", "table", "write_files"]


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
    screen = terminal.console()
    return screen if screen.is_terminal else terminal.console(width=10_000, soft_wrap=True)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; None and NaN are empty cells, and no text is a formula."""
    return csv.text(rows)


def json_text(value: Any) -> str:
    """Return indented JSON in which NaN and infinities, which JSON does not know, are null."""
    return jsonl.strict(value, indent=2) + "\n"
