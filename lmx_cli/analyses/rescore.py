"""`lmx rescore`: new metrics on logged samples, without running a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmx_cli.output import check_folder
from lmx_files.errors import UserError

if TYPE_CHECKING:
    from lmx_analysis.rescore import Rescored
    from lmx_files.runs.folders import Run


# long: a parameter an option
def rescore(
    run: Annotated[Path, typer.Argument(help="A results folder or results_*.json file, with logged samples.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the rescored run.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, with commas.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics to add, with commas: module:function taking (doc, text), overlap, structure, termination, or "
            "a name registered with lm_eval. Without it the task's own scoring is applied again."
        ),
    ] = None,
    include_path: Annotated[
        Path | None,
        typer.Option(
            "--include-path",
            "--include_path",
            help="Folder with the task's YAML, if it is neither lm_eval's nor a plugin's.",
        ),
    ] = None,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option(
            "--confirm_run_unsafe_code",
            help="Score tasks too whose scoring runs code that a model wrote, as lm_eval asks.",
        ),
    ] = False,
) -> None:
    """Score the logged samples of a run again; the outcome is a run of its own, for `lmx compare` and others.

    Only what was logged is read: no model, no data set. Texts get their traces back where the run left a traces file.
    """
    from lmx_files.atomic import write_files
    from lmx_files.runs.folders import find_runs, read_run
    from lmx_runs.rescore.rescoring import Options, rescored

    source = read_run(run)
    check_folder(output)
    if output.is_dir() and find_runs(output):
        raise UserError(f"-o {output} holds a run already: name a new folder, so that no two runs are mixed up")
    if include_path is not None and not include_path.is_dir():
        raise UserError(f"--include_path {include_path}: there is no such folder")
    asked = _names(metrics)
    if metrics is not None and not asked:
        raise UserError(f"--metrics {metrics!r} names nothing")
    outcome = rescored(source, Options(_names(tasks), asked, include_path, confirm_run_unsafe_code))
    write_files(output, outcome.files)
    _show(outcome, source)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _show(outcome: Rescored, run: Run) -> None:
    from lmx_analysis import tables

    columns = [("Task", False), ("Filter", False), ("Metric", False), ("Old", True), ("New", True), ("Samples", True)]
    rows = []
    for change in outcome.changes:
        old, new = (_value(value) for value in (change.old, change.new))
        rows.append([change.task, change.filter, change.metric, old, new, f"{change.changed} of {change.samples}"])
    screen = tables.console()
    screen.print(tables.table("Rescored; samples: those whose value changed", columns, rows))
    for note in (*run.notes, *outcome.notes):
        screen.print(f"note: {note}", markup=False, highlight=False)


def _value(value: Any) -> str:
    from lmx_analysis.tables import number

    if isinstance(value, (int, float)):
        return number(float(value))
    return "—" if value is None else "…"
