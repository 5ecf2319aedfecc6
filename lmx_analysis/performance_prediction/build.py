"""Results of lm_eval become rows: each task's mean score with what it was made of.

A task of the data set is what a document's field ``task`` names (superni and bigbench_lmx hold many), else the lm_eval
task itself. Its definition is the document's field ``definition``, else what `--tasks` says, else the lm_eval task's
``description``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmx_analysis.performance_prediction import data
from lmx_analysis.performance_prediction.data import Row, Score
from lmx_analysis.performance_prediction.tasks_file import About
from lmx_files.errors import UserError, few, unknown
from lmx_files.runs.folders import Run, find_runs

DEFAULTS = {"rougeL": ("rougeL",), "exact_match": ("exact_match", "acc"), "loss": ("loss",)}
"""Metrics that a target is taken from, the first that a task has."""
MOST_NOTES = 5


@dataclass
class Options:
    """What to read: `metrics` names other metrics by target, `filter_name` one of lm_eval's filters (else the first).

    `model`: what to call the model of all runs. `allow_different_prompts`: of one task under several models.
    """

    metrics: dict[str, str] = field(default_factory=dict)
    filter_name: str | None = None
    model: str | None = None
    allow_different_prompts: bool = False


@dataclass
class _Cell:
    """One task under one model while it is read: `prompts` by instance, `origin` by target, `seen` in which file."""

    definition: str
    category: str
    sources: tuple[str, ...]
    values: dict[str, list[float]] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    place: str = ""
    seen: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Built:
    """The rows, in the order in which they were met, and what a reader should know of them."""

    rows: list[Row]
    notes: list[str]


def build(
    paths: Sequence[Path], about: dict[str, About] | None = None, options: Options | None = None,
    progress: Any = iter,
) -> Built:  # fmt: skip
    """Make the rows of all runs at or below `paths`.

    Args:
        about: what is known of tasks beside the results, by name; see `tasks_file`.
        progress: wraps the runs that are read, one after the other.

    Raises:
        UserError: no run, a run without samples, two runs of other prompts, a task without definition, a task that is
            there twice for a model, or no task with any of the metrics.
    """
    options = options or Options()
    about = about or {}
    runs = _runs(paths)
    cells: dict[tuple[str, str], _Cell] = {}
    notes: list[str] = []
    for run in progress(runs):
        for task in run.sample_files:
            _read_task(run, task, about, options, cells, notes)
    if not options.allow_different_prompts:
        _refuse_other_prompts(cells)
    rows = []
    for (task, model), cell in cells.items():
        scores = {target: Score.of(values) for target, values in cell.values.items() if values}
        if scores:
            rows.append(Row(task, cell.definition, cell.category, model, cell.sources, scores))
        else:
            notes.append(f"left out, no instance has a score: {task} of {model}")
    if not rows:
        raise UserError(f"no task in {few(map(str, paths))} has a score of rougeL, exact_match, acc or loss")
    data.check(rows, few(map(str, paths)))
    return Built(rows, _short(notes))


def _runs(paths: Sequence[Path]) -> list[Run]:
    found: dict[Path, Run] = {}
    for path in paths:
        runs = find_runs(path)
        if not runs:
            raise UserError(f"{path} holds no results_*.json: give the --output_path of a finished run")
        found |= {run.file.resolve(): run for run in runs}
    for run in found.values():
        if run.is_make_stage:
            raise UserError(f"{run.file} is of a stage that makes texts for another run: its scores mean nothing")
        if not run.sample_files:
            raise UserError(f"{run.file} has no samples, and a task's score is made of them: run with --log_samples")
    return list(found.values())


def model_of(run: Run) -> str:
    """Return what a run calls its model: lm_eval's ``model_name``, else ``pretrained``, else ``--model``."""
    name = run.results.get("model_name")
    arguments = run.results.get("config", {}).get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.partition("=")[::2] for part in arguments.split(","))
    if isinstance(arguments, dict):
        name = name or arguments.get("pretrained") or arguments.get("model")
    return str(name or run.model)


def _read_task(
    run: Run, task: str, about: dict[str, About], options: Options, cells: dict[tuple[str, str], _Cell],
    notes: list[str],
) -> None:  # fmt: skip
    """Add the samples of one lm_eval task to the cells."""
    model = options.model or model_of(run)
    origin = f"{run.file} ({task})"
    chosen: dict[str, str] | None = None
    scale: dict[str, float] = {}
    for sample in _of_one_filter(run, task, options):
        metrics = run.metrics_of(sample)
        if chosen is None:
            chosen = _chosen(metrics, options)
            if not chosen:
                notes.append(f"left out, none of its metrics is a target: {task} ({few(metrics, 4)})")
                return
            scale = {target: _scale(run, task, target, name, notes) for target, name in chosen.items()}
        doc = sample.get("doc")
        doc = doc if isinstance(doc, dict) else {}
        name = str(doc.get("task") or task)
        cell = cells.get((name, model))
        if cell is None:
            cell = cells[name, model] = _new_cell(run, task, name, doc, about.get(name))
            cell.place = origin
        instance = str(doc.get("id") or sample.get("doc_hash") or sample["doc_id"])
        _add_prompt(cell, name, instance, str(sample.get("prompt_hash")), origin)
        for target, metric in chosen.items():
            first = cell.origin.setdefault(target, origin)
            if first != origin:
                raise UserError(
                    f"task {name!r} of model {model!r} has {target} in {first} and again in {origin}: give one of "
                    "them, or tell the models apart (lmx perfpred build one run at a time with --model NAME)"
                )
            value = metrics.get(metric)
            if isinstance(value, (int, float)) and math.isfinite(value):
                cell.values.setdefault(target, []).append(_in_range(float(value) * scale[target], target, name, origin))


def _of_one_filter(run: Run, task: str, options: Options) -> Iterator[dict[str, Any]]:
    kept, seen = options.filter_name, set()
    for sample in run.samples(task):
        kept = kept or sample["filter"]
        seen.add(sample["filter"])
        if sample["filter"] == kept:
            yield sample
    if kept not in seen and seen:
        raise unknown(f"filter of {task}", str(kept), seen)


def _chosen(metrics: dict[str, Any], options: Options) -> dict[str, str]:
    """Return the metric of each target that a sample has."""
    found = {}
    for target, names in DEFAULTS.items():
        asked = options.metrics.get(target)
        name = next((each for each in ((asked,) if asked else names) if each in metrics), None)
        if name is not None:
            found[target] = name
    return found


def _scale(run: Run, task: str, target: str, metric: str, notes: list[str]) -> float:
    """Return what makes a metric 0 to 100: 1 where its task says that it goes to 100, else 100."""
    if target == "loss":
        return 1.0
    metadata = (run.results.get("configs", {}).get(task) or {}).get("metadata")
    kind = ((metadata if isinstance(metadata, dict) else {}).get("metric_kinds") or {}).get(metric)
    if isinstance(kind, dict) and kind.get("high") == 100:
        return 1.0
    total = run.results["results"].get(task, {})
    means = [value for key, value in total.items() if key.partition(",")[0] == metric and _is_number(value)]
    if not isinstance(kind, (dict, str)) and any(value > 1 for value in means):
        return 1.0
    notes.append(f"{metric} of {task} is from 0 to 1, and was multiplied by 100")
    return 100.0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _in_range(value: float, target: str, name: str, origin: str) -> float:
    if target == "loss" and value < 0:
        raise UserError(
            f"{origin}: loss of task {name!r} is {value:g}, and a negative log-likelihood is never below 0: its sign "
            "is wrong. Run superni_loss or bigbench_lmx_loss"
        )
    if target != "loss" and not 0 <= value <= 100 + 1e-9:
        raise UserError(f"{origin}: {target} of task {name!r} is {value:g}, not from 0 to 100: name another metric")
    return value


def _new_cell(run: Run, task: str, name: str, doc: dict[str, Any], known: About | None) -> _Cell:
    config = run.results.get("configs", {}).get(task) or {}
    known = known or About()
    described = config.get("description") if name == task else None
    definition = next((text for text in (doc.get("definition"), known.definition, described) if _there(text)), "")
    if not definition:
        raise UserError(
            f"task {name!r} of {run.file} has no definition, and nothing can be predicted from it: give one with "
            "--tasks FILE (JSON lines with Task and Definition), or leave the task out"
        )
    category = next((text for text in (doc.get("category"), known.category) if _there(text)), "none")
    source = doc.get("source") or ()
    sources = (source,) if isinstance(source, str) else tuple(map(str, source))
    return _Cell(str(definition).strip(), str(category), sources or known.sources)


def _there(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _add_prompt(cell: _Cell, name: str, instance: str, prompt: str, origin: str) -> None:
    if (origin, instance) in cell.seen:
        raise UserError(f"{origin}: task {name!r} has instance {instance!r} twice: keep one of them")
    cell.seen.add((origin, instance))
    if cell.prompts.setdefault(instance, prompt) != prompt:
        raise _other_prompts(name, cell.place, origin)


def _refuse_other_prompts(cells: dict[tuple[str, str], _Cell]) -> None:
    """Raise a `UserError` if a task had other prompts, or no instance in common, under two models."""
    first: dict[str, _Cell] = {}
    for (task, _model), cell in cells.items():
        other = first.setdefault(task, cell)
        shared = cell.prompts.keys() & other.prompts.keys()
        if not shared or any(cell.prompts[each] != other.prompts[each] for each in shared):
            raise _other_prompts(task, other.place, cell.place)


def _other_prompts(task: str, one: str, other: str) -> UserError:
    return UserError(
        f"task {task!r} had other prompts in {one} than in {other} (or no instance in common): scores of different "
        "questions make no data set. Run both alike, or say --allow-different-prompts for models whose chat templates "
        "differ"
    )


def _short(notes: Iterable[str]) -> list[str]:
    distinct = list(dict.fromkeys(notes))
    more = len(distinct) - MOST_NOTES
    return distinct[:MOST_NOTES] + ([f"and {more} notes more"] if more > 0 else [])
