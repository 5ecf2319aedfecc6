"""From a run's logged samples to a run of its own, with new values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_analysis.rescore import Rescored, rescore
from lmx_files import manifest
from lmx_files.errors import UserError, unknown
from lmx_files.runs.folders import Run
from lmx_runs.rescore.scorers import Added, find_metric, own_scoring
from lmx_runs.rescore.texts import Responses

PACKAGES = ("lm_eval", "rouge-score", "math-verify", *manifest.ANALYSES)


@dataclass(frozen=True)
class Options:
    """What is scored.

    Attributes:
        tasks: only these; empty: all with samples. metrics: to add; empty: the tasks' own scoring is applied again.
        include_path: a folder with the tasks' YAML. unsafe: scorings may run code that a model wrote.
    """

    tasks: Sequence[str] = ()
    metrics: Sequence[str] = ()
    include_path: Path | None = None
    unsafe: bool = False


def rescored(run: Run, options: Options) -> Rescored:
    """Score a run's samples again.

    Raises:
        UserError: a task or metric is unknown, has no samples or fails on one, or the run's texts are no answers.
    """
    tasks = _tasks(run, options.tasks)
    responses = Responses(run)
    scorers: dict[str, Any]
    if options.metrics:
        functions = {name: find_metric(name) for name in options.metrics}
        scorers = {task: Added(functions, responses.kept) for task in tasks}
    else:
        scorers = {task: own_scoring(run, task, options.include_path, options.unsafe) for task in tasks}
        for scorer in scorers.values():
            scorer.kept = responses.kept
    outcome = rescore(run, scorers, responses.restore, _origin(run, tasks, options))
    outcome.notes += responses.notes()
    return outcome


def _tasks(run: Run, asked: Sequence[str]) -> list[str]:
    names = list(asked) or list(run.sample_files)
    if not names:
        raise UserError(f"{run.file} has no samples beside it: run with --log_samples to be able to rescore")
    for name in names:
        if name not in run.sample_files:
            raise unknown("task", name, run.sample_files, "Tasks with logged samples are listed")
    if run.is_make_stage:
        raise UserError(f"{run.file} is a run of stage=make, whose texts are no answers: give the run of stage=consume")
    return names


def _origin(run: Run, tasks: Sequence[str], options: Options) -> dict[str, Any]:
    """Return what the new results say of where they come from."""
    inputs = [run.file, *(run.sample_files[task] for task in tasks), *run.trace_files()]
    settings = {
        "tasks": list(tasks),
        "metrics": list(options.metrics),
        "include_path": None if options.include_path is None else str(options.include_path),
    }
    made = manifest.of_analysis(inputs, settings, packages=PACKAGES)
    return {
        "metrics": list(options.metrics) or "process_results of the task",
        "traces": {str(path): made["inputs"][str(path)] for path in run.trace_files()},
        **{name: made["versions"][name] for name in ("lmx-eval", "lm_eval") if name in made["versions"]},
        **made,
    }
