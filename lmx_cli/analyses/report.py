"""`lmx report`: finished runs as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmx_files.safety import terminal


def report(
    runs: Annotated[
        list[str], typer.Argument(help="Folders (--output_path of lm_eval, or an analysis' -o) or results files.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
) -> None:
    """Write a report on finished runs: results, charts, costs and all texts side by side, in one HTML file.

    Every run at or below a folder is taken, and every section that an analysis left there (entropy, mediation,
    counting, performance prediction). The file needs no server and no network.
    """
    from rich.progress import Progress

    from lmx_analysis.report import write_report

    screen = terminal.console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        steps: dict[str, object] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in steps:
                steps[what] = bar.add_task(what, total=total)
            bar.update(steps[what], completed=done)  # type: ignore[arg-type]

        notes: list[str] = []
        written = write_report([*runs], output, title, progress, notes)
    for note in notes:
        terminal.say(f"note: {note}", error=True)
    size = written.stat().st_size / 1e6
    terminal.say(f"{written} ({size:.1f} MB)")
