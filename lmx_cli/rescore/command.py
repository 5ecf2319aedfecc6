"""`lmx rescore`: new metrics on logged samples, without running a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmx_files.errors import UserError, unknown

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
    from lmx_analysis import rescore as rescoring
    from lmx_cli.rescore.scorers import Added, find_metric, own_scoring
    from lmx_cli.rescore.texts import Responses
    from lmx_files import manifest
    from lmx_files.atomic import write_files
    from lmx_files.runs.folders import read_run
    from lmx_plugins.guards import check_output_path

    source = read_run(run)
    _check_folder(output)
    if include_path is not None and not include_path.is_dir():
        raise UserError(f"--include_path {include_path}: there is no such folder")
    check_output_path(output, "-o")
    chosen = _tasks(source, tasks)
    asked = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    if metrics is not None and not asked:
        raise UserError(f"--metrics {metrics!r} names nothing")
    responses = Responses(source)
    scorers: dict[str, Any] = {}
    if asked:
        functions = {name: find_metric(name) for name in asked}
        scorers = {task: Added(functions, responses.kept) for task in chosen}
    else:
        scorers = {task: own_scoring(source, task, include_path, confirm_run_unsafe_code) for task in chosen}
        for scorer in scorers.values():
            scorer.kept = responses.kept
    inputs = [source.file, *(source.sample_files[task] for task in chosen), *source.trace_files()]
    settings = {"tasks": chosen, "metrics": asked, "include_path": None if include_path is None else str(include_path)}
    made = manifest.of_analysis(inputs, settings, packages=("lm_eval", "rouge-score", "math-verify", *manifest.ANALYSES))
    origin = {
        "metrics": asked or "process_results of the task",
        "traces": {str(path): made["inputs"][str(path)] for path in source.trace_files()},
        **{name: made["versions"][name] for name in ("lmx-eval", "lm_eval") if name in made["versions"]},
        **made,
    }
    outcome = rescoring.rescore(source, scorers, responses.restore, origin)
    outcome.notes += responses.notes()
    write_files(output, outcome.files)
    _show(outcome, source)


def _check_folder(output: Path) -> None:
    from lmx_files.runs.folders import find_runs

    if output.suffix == ".json" or output.is_file():
        raise UserError(f"-o {output} is a file: name a folder")
    if output.is_dir() and find_runs(output):
        raise UserError(f"-o {output} holds a run already: name a new folder, so that no two runs are mixed up")


def _tasks(run: Run, asked: str | None) -> list[str]:
    names = [name.strip() for name in (asked or "").split(",") if name.strip()] or list(run.sample_files)
    if not names:
        raise UserError(f"{run.file} has no samples beside it: run with --log_samples to be able to rescore")
    for name in names:
        if name not in run.sample_files:
            raise unknown("task", name, run.sample_files, "Tasks with logged samples are listed")
    if run.is_make_stage:
        raise UserError(f"{run.file} is a run of stage=make, whose texts are no answers: give the run of stage=consume")
    return names


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
