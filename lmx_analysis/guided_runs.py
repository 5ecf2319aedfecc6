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
from lmx_analysis.runs import Run, find_runs
from lmx_analysis.stats import Metric
from lmx_plugins.errors import UserError, unknown

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
        """Where the oracle was asked: ``at`` (tokens of the answer before its first token) and ``tokens`` written."""
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
        seen = f" (found runs of {', '.join(sorted(others))})" if others else ""
        raise UserError(
            f"no finished run of --model guided at {', '.join(map(str, paths))}{seen}: give the --output_path of one"
        )
    runs = list(found.values())
    if traces is not None:
        if len(runs) > 1:
            raise UserError(f"--traces names one file, but there are {len(runs)} runs: name one results file")
        if not traces.is_file():
            raise UserError(f"there is no traces file {traces}")
        files = {**runs[0].manifest.get("files", {}), "traces": [str(traces.resolve())]}
        runs = [replace(runs[0], manifest={**runs[0].manifest, "files": files})]
    notes = [f"left out, not guided: runs of {', '.join(sorted(others))}"] if others else []
    return runs, notes


def settings_of(run: Run, task: str) -> dict[str, Any]:
    """Return every setting of a guided run on a task, with ``base`` and ``oracle``; ``inf`` is a float again."""
    decoding = run.decoding
    settings = {**decoding.get("settings", {}), **decoding.get("settings_by_task", {}).get(task, {})}
    settings = {name: float("inf") if value == "inf" else value for name, value in settings.items()}
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
        return [leaf for each in groups.get(group, ()) for leaf in (members(each) if groups.get(each) else [each])]

    if name is None:
        whole = [group for group in groups if set(members(group)) >= set(leaves) and leaves]
        if len(leaves) == 1 or whole:
            return list(leaves)
        if not leaves:
            raise UserError("the runs logged no samples: run with --log_samples, or with `lmx run`")
        raise UserError(f"the runs hold several tasks: choose one with --task. There are: {', '.join(leaves)}")
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


def guided_texts(run: Run, task: str, filter_name: str | None = None) -> Iterator[GuidedText]:
    """Yield the answers of a run in the samples' order, joined with their traces.

    Args:
        filter_name: the filter whose samples to take; by default the first in the file.

    Raises:
        UserError: a filter is unknown, or an answer has no trace.
    """
    if task not in run.sample_files:
        raise UserError(f"{run.file} has no samples of {task} beside it: run with --log_samples, or with `lmx run`")
    traces = run.traces()
    chosen, seen = filter_name, dict[str, None]()
    for sample in run.samples(task):
        name = str(sample.get("filter", "none"))
        seen[name] = None
        chosen = name if chosen is None else chosen
        if name != chosen:
            continue
        texts = sample["resps"][0] if isinstance(sample["resps"][0], list) else sample["resps"]
        lines = traces.get((task, int(sample["doc_id"]), str(sample["prompt_hash"])), [])
        if len(lines) != len(texts):
            raise UserError(
                f"document {sample['doc_id']} of {task} has {len(texts)} texts and {len(lines)} traces beside "
                f"{run.file}: `lmx run` keeps traces there; name the file with --traces if the run put it elsewhere"
            )
        values = run.metrics_of(sample)
        for repeat, (text, line) in enumerate(zip(texts, lines, strict=True)):
            yield GuidedText(task, int(sample["doc_id"]), repeat, sample, str(text), line, values)
    if chosen not in seen:
        raise unknown("filter", str(chosen), seen)


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
        raise UserError(f"the tasks disagree on what {name} is: choose one of {', '.join(tasks)} with --task")
    return kinds.pop()
