"""How commands print: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lmx_files.safety import terminal


def show(rows: Sequence[dict[str, Any]], as_json: bool, empty: str, title: str | None = None) -> None:
    """Print rows of equal keys as a table, or as JSON; `empty` is what to say when there are none."""
    if as_json:
        terminal.say_json(json.dumps(list(rows), indent=2, ensure_ascii=False))
        return
    if not rows:
        terminal.say(empty)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        # A name is for copying: it is never cut or folded.
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    console = terminal.console()
    if not console.is_terminal:
        # In a pipe every row stays on one line, so that grep and cut work.
        console = terminal.console(width=10_000, soft_wrap=True)
    console.print(table)
