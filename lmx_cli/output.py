"""How commands print: a table for people, JSON for programs, a bar for who waits; and where they may write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lmx_files.errors import UserError
from lmx_files.safety import terminal

Item = TypeVar("Item")
OF_FILES = (".json", ".jsonl", ".csv", ".parquet", ".png", ".svg", ".html")


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


def tracked(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Yield the items under a progress bar on stderr, which is not drawn where stderr is no terminal."""
    from rich.progress import track

    listed = items if isinstance(items, Sequence) else list(items)
    yield from track(listed, what, console=terminal.console(stderr=True), transient=True)


def check_folder(folder: Path, option: str = "-o") -> None:
    """Refuse what can be no folder for results, before any work is done.

    Raises:
        UserError: it is a file or named like one, or cannot be written.
    """
    from lmx_plugins.guards import check_output_path

    if folder.suffix in OF_FILES or folder.is_file():
        raise UserError(f"{option} {folder} is a file: name a folder")
    check_output_path(folder, option)
