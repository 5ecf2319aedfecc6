"""Guided runs as analyses need them: their settings, and each answer's logged sample joined with its trace."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.compare.scores import declared_metric, main_metrics
from lmx_analysis.stats import Metric
from lmx_files.errors import UserError, few, unknown
from lmx_files.runs import schema
from lmx_files.runs.folders import Run, find_runs
from lmx_files.runs.join import read_traces, texts_of
from lmx_files.runs.tally import listed

REPLACED = "replaced"
"""Where a sweep puts results of settings that its file no longer has."""


@dataclass(frozen=True)
class GuidedText:
    """One answer of a guided run.

    Attributes:
        sample: as lm_eval logged it; one sample has several texts if the task asks for `repeats`.
        text: the answer. line: its line of the traces file. values: the sample's metric values, by name.
    """

    task: str
    doc_id: int
    repeat: int
    sample: dict[str, Any]
    text: str
    line: dict[str, Any]
    values: dict[str, Any]

    @property
    def trace(self) -> dict[str, Any]:
        """The trace of the text: `tokens`, `segments`, `prompt_tokens`, ..."""
        return self.line["trace"]

    @property
    def prompt(self) -> str:
        """The prompt as the model was given it, chat template included."""
        return str(self.sample["arguments"]["gen_args_0"]["arg_0"])

    @property
    def consultations(self) -> list[dict[str, int]]:
        """Where the oracle was asked: ``at`` (tokens of the answer before its first token) and ``tokens`` written.

        ``oracle_tokens``: the same text in tokens of the oracle's own tokenizer (in traces of this release and later).
        """
        return list((self.trace.get("extra") or {}).get("consultations", ()))

    @property
    def oracle_tokens(self) -> int:
        """Tokens of the answer that the oracle wrote."""
        return sum(s["end"] - s["start"] for s in self.trace["segments"] if s["source"] == "oracle")

    @property
    def tokens(self) -> list[int]:
        """Token ids of the answer, a closing end-of-text id included."""
        return list(self.trace["tokens"])


def find_guided_runs(paths: Sequence[str | Path], traces: Path | None = None) -> tuple[list[Run], list[str]]:
    """Return the guided runs at or below `paths`, each once, and notes on what was left out.

    Args:
        traces: the traces file, where a run was told to keep it elsewhere; only for one run.

    Raises:
        UserError: there is no guided run, or `traces` is given for several.
    """
    found: dict[Path, Run] = {}
    others: set[str] = set()
    for path in map(Path, paths):
        for run in find_runs(path):
            if path.is_dir() and REPLACED in run.file.relative_to(path).parts:
                continue
            if run.decoding.get("method") == "guided":
                found.setdefault(run.file.resolve(), run)
            else:
                others.add(run.model)
    if not found:
        seen = f" (found runs of {few(sorted(others))})" if others else ""
        raise UserError(f"no finished run of --model guided at {few(paths)}{seen}: give the --output_path of one")
    runs = list(found.values())
    if traces is not None:
        if len(runs) > 1:
            raise UserError(f"--traces names one file, but there are {len(runs)} runs: name one results file")
        if not traces.is_file():
            raise UserError(f"there is no traces file {traces}")
        runs = [replace(runs[0], traces_file=traces)]
    notes = [f"left out, not guided: runs of {', '.join(sorted(others))}"] if others else []
    return runs, notes


def settings_of(run: Run, task: str) -> dict[str, Any]:
    """Return every setting of a guided run on a task, with ``base`` and ``oracle``; ``inf`` is a float again."""
    decoding = run.decoding
    if wrong := schema.problem(
        schema.Limits, {**decoding.get("settings", {}), **decoding.get("settings_by_task", {}).get(task, {})}
    ):
        raise UserError(f"{run.file}: the settings of its guided run cannot be read: {wrong}")
    settings = {**decoding.get("settings", {}), **decoding.get("settings_by_task", {}).get(task, {})}
    settings = {name: float("inf") if value == "inf" else value for name, value in settings.items()}
    settings.setdefault("sampling", "plain")  # what runs did before there was a choice
    return {**settings, "base": str(decoding.get("model", "?")), "oracle": str(settings.get("oracle", "?"))}


def choose_tasks(runs: Sequence[Run], name: str | None) -> list[str]:
    """Return the tasks that `name` stands for: itself, or the members of a group that is named or is all there is.

    Raises:
        UserError: the name is unknown, or none is given and the runs hold tasks that are no group.
    """
    groups: dict[str, list[str]] = {}
    leaves: dict[str, None] = {}
    for run in runs:
        groups |= {group: list(members) for group, members in (run.results.get("group_subtasks") or {}).items()}
        leaves |= dict.fromkeys(run.sample_files)

    def members(group: str) -> list[str]:
        found: dict[str, None] = {}
        pending, met = list(groups.get(group, ())), {group}
        while pending:
            each = pending.pop(0)
            if not groups.get(each):
                found[each] = None
            elif each not in met:  # a group of a file may hold itself
                met.add(each)
                pending[:0] = groups[each]
        return list(found)

    if name is None:
        whole = [group for group in groups if set(members(group)) >= set(leaves) and leaves]
        if len(leaves) == 1 or whole:
            return list(leaves)
        if not leaves:
            raise UserError("the runs logged no samples: run with --log_samples, or with `lmx run`")
        raise UserError(f"the runs hold several tasks: choose one with --task. There are: {few(leaves)}")
    if name in leaves:
        return [name]
    if found := [leaf for leaf in members(name) if leaf in leaves]:
        return found
    raise unknown("task", name, [*leaves, *(group for group in groups if members(group))])


def choose_metric(run: Run, task: str, metric: str | None) -> str:
    """Return `metric`, or the task's first main metric, or its first with a direction, after checking that it is there.

    Raises:
        UserError: the samples hold no such number.
    """
    sample = next(iter(run.samples(task)), None)
    if sample is None:
        raise UserError(f"{run.sample_files[task]} is empty")
    values = run.metrics_of(sample)
    numbers = [name for name, value in values.items() if not isinstance(value, (list, dict, str))]
    directions = (run.results.get("higher_is_better") or {}).get(task) or {}
    if metric is not None:
        if metric not in numbers:
            raise unknown(f"metric of {task}", metric, numbers)
        return metric
    declared = [name for name in main_metrics(run, task) if name in numbers]
    guess = [name for name in numbers if directions.get(name)]
    if not declared and not guess:
        raise UserError(f"{task} declares no metric of which more is better: choose one with --metric")
    return (declared or guess)[0]


def guided_texts(
    run: Run, task: str, filter_name: str | None = None, notes: list[str] | None = None
) -> Iterator[GuidedText]:
    """Yield the answers of a run in the samples' order, joined with their traces by key and text.

    A document of which one text has no trace is left out whole.

    Args:
        filter_name: the filter whose samples to take; by default the first in the file.
        notes: what was left out is added here.

    Raises:
        UserError: a filter is unknown, the samples are not whole, or no answer has a trace.
    """
    if task not in run.sample_files:
        raise UserError(f"{run.file} has no samples of {task} beside it: run with --log_samples, or with `lmx run`")
    path, traces = run.sample_files[task], read_traces(run, _checked_line)
    chosen, seen = filter_name, dict[str, None]()
    lost: set[int] = set()
    found = 0
    for sample in run.samples(task):
        name = sample["filter"]
        seen[name] = None
        chosen = name if chosen is None else chosen
        if name != chosen:
            continue
        texts = texts_of(sample, path)
        if texts is None:
            raise UserError(f"{path}, document {sample['doc_id']}: it holds likelihoods, not texts")
        lines = traces.take(task, sample, texts)
        if None in lines or not lines:
            lost.add(sample["doc_id"])
            continue
        _check_arguments(sample, path)
        values = run.metrics_of(sample)
        for repeat, (text, line) in enumerate(zip(texts, lines, strict=True)):
            if line is not None:
                found += 1
                yield GuidedText(task, sample["doc_id"], repeat, sample, text, line, values)
    if chosen not in seen:
        raise unknown("filter", str(chosen), seen)
    if lost:
        why = f"{run.file}: {'; '.join(traces.left_out())}"
        if not found:
            raise UserError(
                f"{why}. `lmx run` keeps traces beside it; name the file with --traces if it lies elsewhere"
            )
        if notes is not None:
            notes.append(f"{why}. Left out: {listed(lost)}")


def _checked_line(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a traces file after checking what analyses of guided runs take from it."""
    if wrong := schema.problem(schema.GuidedTrace, line["trace"]):
        raise ValueError(wrong)
    if "pieces" not in line:
        raise ValueError("it has no pieces")
    return line


def _check_arguments(sample: dict[str, Any], path: Path) -> None:
    calls = sample.get("arguments")
    first = calls.get("gen_args_0") if isinstance(calls, dict) else None
    if not isinstance(first, dict) or not isinstance(first.get("arg_0"), str):
        raise UserError(f"{path}, document {sample['doc_id']}: not a sample as lm_eval logs it (no prompt)")


def metric_value(values: dict[str, Any], metric: str) -> float:
    """Return a metric's value for one sample; NaN for an answer without one (not parsed, for instance).

    An infinite value is a value and stays infinite.
    """
    value = values.get(metric)
    try:
        return float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:  # a whole number beyond every float
        return math.inf


def fill_missing(values: NDArray[np.float64], name: str, metric: Metric) -> tuple[NDArray[np.float64], float]:
    """Return values with a worst one in place of missing ones (NaN), and that value; NaN where none is missing.

    An answer without a value is as bad as an answer can be, so that a run gains nothing by not answering: the metric's
    own bound if it has one, else the worst of `values`, 0 counted among them where more is better.

    Args:
        values: of all answers that are to be compared, of any shape. name: of the metric, for messages.

    Raises:
        UserError: a value is infinite, so that there is no mean, or some are missing and nothing says what is worse.
    """
    infinite, missing = np.isinf(values), np.isnan(values)
    if infinite.any():
        raise UserError(
            f"{int(infinite.sum())} answers have an infinite {name}, so it has no mean: choose another metric with "
            "--metric, or leave these runs out"
        )
    if not missing.any():
        return values, math.nan
    higher, known = metric.higher_is_better, values[~missing]
    bound = metric.low if higher else metric.high
    if higher is None or (not higher and math.isinf(bound) and not known.size):
        raise UserError(
            f"{int(missing.sum())} answers have no {name}, and nothing says what a missing one is worth: choose "
            "another metric with --metric, or declare its higher_is_better in the task"
        )
    if math.isinf(bound):
        bound = min(0.0, float(known.min(initial=0.0))) if higher else float(known.max())
    return np.where(missing, bound, values), bound


def metric_in(runs: Sequence[Run], tasks: Sequence[str], name: str) -> Metric:
    """Return what a metric is, as the tasks declare it.

    Raises:
        UserError: the tasks disagree.
    """
    kinds = {declared_metric(runs, task, name) for task in tasks}
    if len(kinds) > 1:
        raise UserError(f"the tasks disagree on what {name} is: choose one of {few(tasks)} with --task")
    return kinds.pop()
