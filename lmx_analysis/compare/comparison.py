"""The comparison itself: which rows are tested, what comes out, and what a reader must be told."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lmx_analysis.compare.arms import Arms, read_arms
from lmx_analysis.compare.pairing import Key, Mismatch, TaskSamples, left_over, pair, pooled, read_samples, refuse
from lmx_analysis.compare.scores import ScoreRow, arm_rows, declared_metric, main_metrics
from lmx_analysis.compare.settings import doubts
from lmx_analysis.compare.testing import (
    PER_ROW,
    Difference,
    TaskData,
    choose_tests,
    listed,
    null_statistics,
    task_data,
    test_task,
)
from lmx_analysis.stats import Metric, holm, max_t, metric_of, standard_error
from lmx_files.errors import UserError, unknown
from lmx_files.runs.folders import Run

CORRECTIONS = ("holm", "max-t")


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        tasks, metrics: names to select; None for the default, ``["all"]`` for every metric.
        cluster: field of the documents that names independent groups. seed, resamples: of the bootstrap.
        by_prompt: pair equal prompts only; else documents. pool: put seeds of one setting together.
        correction: the one that verdicts follow, ``holm`` or ``max-t``; both are reported.
        kinds: what metrics are, by name, over what their tasks declare.
    """

    tasks: list[str] | None = None
    metrics: list[str] | None = None
    cluster: str | None = None
    resamples: int = 10_000
    seed: int = 1234
    by_prompt: bool = True
    pool: bool = True
    correction: str = "holm"
    kinds: dict[str, str] = field(default_factory=dict)


@dataclass
class Comparison:
    """Runs side by side. The first of `arms` is not always the `reference`; `selected` are rows for the screen.

    `resamples`: flips that the tests drew, at least as many as the options say.
    """

    arms: Arms
    reference: str
    options: Options
    scores: list[ScoreRow] = field(default_factory=list)
    selected: set[tuple[str, str, str]] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resamples: int = 0

    @property
    def runs(self) -> dict[str, Run]:
        """The first run of each arm."""
        return {name: runs[0] for name, runs in self.arms.items()}

    def is_selected(self, row: ScoreRow) -> bool:
        """Whether a row is shown on the screen."""
        return (row.task, row.filter, row.metric) in self.selected


Track = Callable[[Sequence[str]], Iterable[str]]


def compare(
    paths: Sequence[str | Path],
    options: Options,
    names: Sequence[str] | None = None,
    reference: str | None = None,
    track: Track = iter,
) -> Comparison:
    """Compare the runs at `paths`, results folders or files; `track` may show progress over tasks.

    Raises:
        UserError: a name is unknown, or two runs were not given the same prompts (it says where).
    """
    if options.correction not in CORRECTIONS:
        raise unknown("--correction", options.correction, CORRECTIONS)
    arms, notes = read_arms(paths, names, options.pool)
    if reference is not None and reference not in arms:
        raise unknown("--reference", reference, arms)
    for name, runs in arms.items():
        if any(run.is_make_stage for run in runs):
            raise UserError(f"{name} is a run of stage=make, whose texts are no answers: give the run of stage=consume")
    result = Comparison(arms, reference or next(iter(arms)), options, notes=notes)
    others = [name for name in arms if name != result.reference]
    result.scores = _of_tasks(arm_rows({name: arms[name] for name in (result.reference, *others)}), options.tasks)
    _select(result)
    _describe(result, others)
    _test(result, others, track)
    return result


def _of_tasks(rows: list[ScoreRow], tasks: list[str] | None) -> list[ScoreRow]:
    if not rows:
        raise UserError("the results files hold no metrics")
    known = dict.fromkeys(row.task for row in rows)
    for task in tasks or ():
        if task not in known:
            raise unknown("task", task, known)
    return [row for row in rows if tasks is None or row.task in tasks]


def _select(result: Comparison) -> None:
    """Choose the rows to show and test, by what was declared before any result was known."""
    asked = result.options.metrics
    numbers = [row for row in result.scores if row.is_number]
    structured = [row for row in result.scores if not row.is_number]
    for name in asked or ():
        if name != "all" and name not in {row.metric for row in result.scores}:
            raise unknown("metric", name, ["all", *dict.fromkeys(row.metric for row in numbers)])
    undeclared = defaultdict(set)
    for row in numbers:
        declared = main_metrics(result.runs[result.reference], row.task)
        if asked is not None:
            wanted = "all" in asked or row.metric in asked
        elif declared:
            wanted = row.metric in declared
        else:
            wanted = row.higher_is_better is not None
            undeclared[row.task].add(row.metric)
        if wanted:
            result.selected.add((row.task, row.filter, row.metric))
    if not result.selected:
        raise UserError("no metric with numbers is selected: choose other --metrics, or --metrics all")
    many = [task for task, metrics in undeclared.items() if len(metrics) > 10]
    if many:
        result.notes.append(
            f"{', '.join(many)}: no main metrics are declared, so all with a direction are tested and corrected for; "
            "naming a few with --metrics, chosen before looking, finds smaller differences"
        )
    if structured:
        left = ", ".join(dict.fromkeys(f"{row.task} {row.metric}" for row in structured))
        result.notes.append(f"left out, not a number: {left}")


def _describe(result: Comparison, others: list[str]) -> None:
    reference = result.runs[result.reference]
    tasks = list(dict.fromkeys(row.task for row in result.scores))
    for name in others:
        run = result.runs[name]
        both = [task for task in tasks if task in run.results["results"] and task in reference.results["results"]]
        if not both:
            raise UserError(f"{result.reference} and {name} have no task in common")
        for task in tasks:
            if task not in both:
                owner = name if task in run.results["results"] else result.reference
                result.notes.append(f"{task}: only in {owner}, so not compared with {name}")
        result.notes += [f"{name}: {line}" for line in doubts(reference, run, both)]


def _test(result: Comparison, others: list[str], track: Track) -> None:
    """Pair everything first, so that a refusal comes before any work; then test, then correct."""
    reader = _Samples(result)
    pairs: dict[str, dict[str, list[Key]]] = defaultdict(dict)
    for name in others:
        mismatch = Mismatch()
        for task in reader.common_tasks(name):
            keys, notes = _pair(result, reader, name, task, mismatch)
            pairs[task][name] = keys
            result.notes += notes
        refuse(mismatch, result.reference, name)
    if not result.options.by_prompt:
        result.notes.append("paired by document and not by prompt: differences include the prompts' (chat templates)")
    every = []
    for task, keys_of in pairs.items():
        rows = [(row, _metric(result, row), result.is_selected(row)) for row in result.scores if row.task == task]
        found = {name: (reader.read(name, task), keys) for name, keys in keys_of.items()}
        clustered = result.options.cluster is not None
        every.append(task_data(task, rows, reader.read(result.reference, task), found, clustered))
    result.notes += choose_tests(every)
    count = sum(column.selected for data in every for column in data.columns)
    result.resamples = max(result.options.resamples, PER_ROW * count)
    by_task = {data.task: data for data in every}
    for task in track(list(by_task)):
        tested, notes = test_task(by_task[task], result.options.correction, result.resamples, _seed(result, task))
        result.differences += tested
        result.notes += notes
    _note_aggregates(result, reader.found)
    _errors_of_pooled(result, reader)
    _correct(result, every)
    order = {name: number for number, name in enumerate(others)}
    result.differences.sort(key=lambda each: order[each.run])


class _Samples:
    """The samples of arms by task, each read once; seeds of one setting as one."""

    def __init__(self, result: Comparison) -> None:
        self.result = result
        self.found: dict[tuple[str, str], TaskSamples] = {}

    def read(self, name: str, task: str) -> TaskSamples:
        if (name, task) not in self.found:
            options = self.result.options
            seeds = [read_samples(run, task, options.cluster) for run in self.result.arms[name]]
            self.found[name, task] = seeds[0]
            if len(seeds) > 1:
                self.found[name, task], notes = pooled(task, name, seeds, options.by_prompt)
                self.result.notes += notes
        return self.found[name, task]

    def common_tasks(self, name: str) -> list[str]:
        """Return the tasks whose samples an arm and the reference have; note where they were not logged."""
        result, both = self.result, (self.result.reference, name)
        tasks = list(dict.fromkeys(row.task for row in result.scores))
        known = {task for runs in result.arms.values() for run in runs for task in run.results.get("configs", {})}
        found = []
        for task in tasks:
            runs = [run for each in both for run in result.arms[each]]
            if task not in known or not all(task in run.results["results"] for run in runs):
                continue
            lacking = [each for each in both if not all(task in run.sample_files for run in result.arms[each])]
            if lacking:
                who = " and ".join(lacking)
                result.notes.append(f"{task}: {who} logged no samples; paired tests need --log_samples")
                continue
            found.append(task)
        return found


def _pair(
    result: Comparison, reader: _Samples, name: str, task: str, mismatch: Mismatch
) -> tuple[list[Key], list[str]]:
    a, b = reader.read(result.reference, task), reader.read(name, task)
    common, only_a, only_b = left_over(a, b)
    if not common:
        raise UserError(f"{task}: {result.reference} and {name} have no document in common")
    notes = []
    if only_a or only_b:
        counts = f"{only_a} only in {result.reference}, {only_b} only in {name}"
        notes.append(f"{task}: {common} documents are in both, {counts}; only those in both are paired")
    keys, more = pair(task, a, b, result.options.by_prompt, mismatch)
    return keys, notes + [f"{task}, {name}: {note}" for note in more]


def _metric(result: Comparison, row: ScoreRow) -> Metric:
    first = result.arms[result.reference]
    runs = [*first, *(run for name, arm in result.arms.items() if name != result.reference for run in arm)]
    if row.metric in result.options.kinds:
        return metric_of(result.options.kinds[row.metric], f"{row.metric} in --kinds", row.higher_is_better)
    return declared_metric(runs, row.task, row.metric)


def _seed(result: Comparison, task: str) -> int:
    """Return a seed for a task's flips: those of two tasks are independent."""
    return ((result.options.seed & 0xFFFFFFFF) << 32) ^ zlib.crc32(task.encode())


def _errors_of_pooled(result: Comparison, reader: _Samples) -> None:
    """Give arms of several seeds the standard error of their documents' means."""
    for number, row in enumerate(result.scores):
        scores = dict(row.scores)
        for name, score in row.scores.items():
            samples = reader.found.get((name, row.task))
            if len(result.arms[name]) < 2 or samples is None or score.value is None:
                continue
            means = [each.mean(row.metric) for key, each in samples.documents.items() if key[0] == row.filter]
            if means and all(mean is not None for mean in means):
                error, _ = standard_error(np.array(means, dtype=np.float64))
                scores[name] = replace(score, stderr=None if math.isnan(error) else error)
        result.scores[number] = replace(row, scores=scores)


def _note_aggregates(result: Comparison, samples: dict[tuple[str, str], TaskSamples]) -> None:
    """Say where a task's value is not the mean of its samples, for the differences are of means."""
    other: dict[tuple[str, str], list[str]] = defaultdict(list)
    not_numbers: dict[str, list[str]] = defaultdict(list)
    for row in result.scores:
        for name, score in row.scores.items():
            read = samples.get((name, row.task))
            if read is None or score.value is None:
                continue
            documents = [document for key, document in read.documents.items() if key[0] == row.filter]
            values = [value for each in documents for value in each.values.get(row.metric, ()) if value is not None]
            if row.metric in read.structured or not values:
                not_numbers[row.task].append(row.metric)
            elif not math.isclose(sum(values) / len(values), score.value, rel_tol=1e-6, abs_tol=1e-9):
                other[row.task, name].append(row.metric)
    for (task, name), metrics in other.items():
        result.notes.append(
            f"{task}, {name}: the task's value of {listed(metrics)} is not the mean over its samples; "
            "the difference tested is that of the means"
        )
    for task, metrics in not_numbers.items():
        result.notes.append(f"{task}: not tested, for its samples are not single numbers: {listed(metrics)}")


def _correct(result: Comparison, every: Sequence[TaskData]) -> None:
    """Correct the selected rows, by Holm and by max-T over flips that all rows of a task share."""
    chosen = [each for each in result.differences if each.selected]
    drawn = [null_statistics(data, result.resamples, _seed(result, data.task)) for data in every]
    p = [each.paired.p for each in chosen]
    by_holm = holm(p)
    by_max_t: list[float] = []
    if chosen:
        observed, null = np.concatenate([t for t, _ in drawn]), np.concatenate([n for _, n in drawn], axis=1)
        by_max_t = max_t(observed, null, p)
    corrected = {id(each): pair for each, pair in zip(chosen, zip(by_holm, by_max_t, strict=True), strict=True)}
    nothing = (math.nan, math.nan)
    result.differences = [
        replace(each, p_holm=corrected.get(id(each), nothing)[0], p_max_t=corrected.get(id(each), nothing)[1])
        for each in result.differences
    ]
