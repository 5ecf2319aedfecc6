"""`lmx data`: data sets that tasks need and that do not come with the package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def build(group: Any) -> typer.Typer:
    """Return the `data` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, no_args_is_help=True, help="Get data sets into the form that the tasks read.")
    app.command("prepare")(prepare)
    app.callback()(_root)
    return app


def _root() -> None:
    """Get data sets into the form that the tasks read."""


def prepare(
    name: Annotated[str, typer.Argument(help="superni or bigbench.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A checkout of natural-instructions or BIG-bench, a tar or zip archive of it, a .jsonl or .jsonl.gz "
            "file with one task a line, or hub:OWNER/NAME@COMMIT, a data set repository of that layout."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder that becomes the tasks' data_dir.")],
    tasks: Annotated[
        Path | None,
        typer.Option(help="A file with the names of the tasks to take. Default: the test tasks, BIG-bench Lite."),
    ] = None,
    instances: Annotated[int, typer.Option(min=1, help="Instances of each task, the first ones.")] = 100,
    sha256: Annotated[str | None, typer.Option("--sha256", help="What the source file's SHA-256 must be.")] = None,
) -> None:
    """Write OUTPUT/NAME/test.jsonl.gz and its manifest, all or nothing; run again to go on after an interruption."""
    from lmx_tasks.prepare import prepare as write

    shown = sys.stderr.isatty()

    def progress(task: str, number: int, total: int) -> None:
        if shown:
            place = f"{number}/{total}" if total else str(number)
            print(f"\r\033[K{place} {task[:60]}", end="", file=sys.stderr, flush=True)

    try:
        done = write(name, source, output, tasks, instances, sha256, progress)
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr)
    again = f", {done.resumed} of them kept from an interrupted run" if done.resumed else ""
    same = " (unchanged)" if done.unchanged else ""
    typer.echo(f"{done.path}: {done.tasks} tasks, {done.instances} instances{again}{same}")
    typer.echo(f"""Use it with --metadata '{{"data_dir": "{output}"}}' or LMX_DATA_DIR={output}""")
