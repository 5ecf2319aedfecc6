"""`lmx counting report`: what a run of counting tasks shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of finished runs of category_counting tasks, or results_*.json files.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is written.")] = Path("counting"),
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No PNG and SVG, which need matplotlib.")] = False,
) -> None:
    """Write tables, pictures and the error split of counting tasks that one model answered.

    Takes any category_counting* task that ran with --log_samples. See docs/tasks/category_counting.md.
    """
    from lmx_analysis.counting import load
    from lmx_analysis.counting import output as outputs
    from lmx_analysis.figures import require_matplotlib
    from lmx_analysis.tables import console, number, table
    from lmx_plugins.guards import check_output_path

    if not no_plots:
        require_matplotlib()
    check_output_path(output, "-o")
    outputs.check_place(output)
    found = load.load(runs)
    made = outputs.write(output, found, not no_plots)
    screen = console()
    for title, headings, rows, note in outputs.views(made):
        columns = [(heading, not isinstance(rows[0][k], str)) for k, heading in enumerate(headings)]
        cells = [[number(v) if isinstance(v, float) or v is None else str(v) for v in row] for row in rows]
        screen.print(table(title, columns, cells))
        if note:
            screen.print(note, markup=False, highlight=False)
    for note in [*outputs.conclusions(made), *(f"note: {each}" for each in found.notes), f"written: {output}"]:
        screen.print(note, markup=False, highlight=False)
