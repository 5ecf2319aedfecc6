"""The comparison itself: which rows are tested, what comes out, and what a reader must be told."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lmx_analysis import statistics
from lmx_analysis.compare.pairing import Key, Mismatch, TaskSamples, left_over, pair, read_samples, refuse
from lmx_analysis.compare.scores import ScoreRow, main_metrics, score_rows
from lmx_analysis.compare.settings import doubts
from lmx_files.runs import Run, read_run
from lmx_plugins.errors import UserError, unknown

ALPHA = 0.05
FEW_CLUSTERS = 20


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        tasks, metrics: names to select; None for the default, ``["all"]`` for every metric.
        cluster: field of the documents that names independent groups. seed, resamples: of the bootstrap.
        by_prompt: pair equal prompts only; else documents.
    """

    tasks: list[str] | None = None
    metrics: list[str] | None = None
    cluster: str | None = None
    resamples: int = 10_000
    seed: int = 1234
    by_prompt: bool = True


@dataclass(frozen=True)
class Difference:
    """One tested row: a metric of one run against the reference.

    Attributes:
        selected: whether it is on the screen and in Holm's correction. p_holm: NaN if not selected.
        dropped: pairs left out because a value was missing, NaN or infinite.
    """

    row: ScoreRow
    run: str
    selected: bool
    paired: statistics.Paired
    dropped: int
    p_holm: float = math.nan

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``differs`` when p after Holm is below 0.05, else nothing."""
        if not self.p_holm < ALPHA or self.paired.difference == 0:
            return ""
        if self.row.higher_is_better is None:
            return "differs"
        return "better" if (self.paired.difference > 0) == self.row.higher_is_better else "worse"


@dataclass
class Comparison:
    """Runs side by side. The first of `runs` is not always the `reference`; `selected` are rows for the screen."""

    runs: dict[str, Run]
    reference: str
    options: Options
    scores: list[ScoreRow] = field(default_factory=list)
    selected: set[tuple[str, str, str]] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def is_selected(self, row: ScoreRow) -> bool:
        """Whether a row is shown on the screen."""
        return (row.task, row.filter, row.metric) in self.selected


Track = Callable[[Sequence[tuple[str, str]]], Iterable[tuple[str, str]]]


def compare(
    paths: Sequence[str | Path],
    options: Options,
    names: Sequence[str] | None = None,
    reference: str | None = None,
    track: Track = iter,
) -> Comparison:
    """Compare the runs at `paths`, results folders or files; `track` may show progress over (run, task).

    Raises:
        UserError: a name is unknown, or two runs were not given the same prompts (it says where).
    """
    if len(paths) < 2:
        raise UserError(f"{len(paths)} run given: name two or more results folders, the reference first")
    names = list(names) if names else short_names([Path(path) for path in paths])
    if len(names) != len(paths) or len(set(names)) != len(names) or not all(names):
        raise UserError(f"--names {','.join(names)}: give {len(paths)} different names, one for each run")
    runs = dict(zip(names, map(read_run, paths), strict=True))
    if reference is not None and reference not in runs:
        raise unknown("--reference", reference, runs)
    for name, run in runs.items():
        if run.is_make_stage:
            raise UserError(f"{name} is a run of stage=make, whose texts are no answers: give the run of stage=consume")
    result = Comparison(runs, reference or names[0], options)
    result.notes += [f"{name}: {note}" for name, run in runs.items() for note in run.notes]
    others = [name for name in runs if name != result.reference]
    ordered = {name: runs[name] for name in (result.reference, *others)}
    result.scores = _of_tasks(score_rows(ordered), options.tasks)
    _select(result)
    _describe(result, others)
    _test(result, others, track)
    return result


def short_names(paths: list[Path]) -> list[str]:
    """Return the shortest tails of the paths that tell them apart; a path given twice gets a number."""
    whole = [path.resolve().with_suffix("") if path.suffix == ".json" else path.resolve() for path in paths]
    for length in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-length:]) for path in whole]
        if len(set(names)) == len(set(whole)):
            break
    seen: dict[str, int] = defaultdict(int)
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique


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
    reference, options = result.runs[result.reference], result.options
    tasks = list(dict.fromkeys(row.task for row in result.scores))
    leaves = [task for task in tasks if any(task in run.results.get("configs", {}) for run in result.runs.values())]
    pairs: dict[tuple[str, str], list[Key]] = {}
    samples: dict[tuple[str, str], TaskSamples] = {}

    def read(name: str, task: str) -> TaskSamples:
        if (name, task) not in samples:
            samples[name, task] = read_samples(result.runs[name], task, options.cluster)
        return samples[name, task]

    for name in others:
        mismatch = Mismatch()
        for task in leaves:
            run = result.runs[name]
            lacking = [each for each in (result.reference, name) if task not in result.runs[each].sample_files]
            if task not in reference.results["results"] or task not in run.results["results"]:
                continue
            if lacking:
                who = " and ".join(lacking)
                result.notes.append(f"{task}: {who} logged no samples; paired tests need --log_samples")
                continue
            a, b = read(result.reference, task), read(name, task)
            common, only_a, only_b = left_over(a, b)
            if not common:
                raise UserError(f"{task}: {result.reference} and {name} have no document in common")
            if only_a or only_b:
                counts = f"{only_a} only in {result.reference}, {only_b} only in {name}"
                result.notes.append(f"{task}: {common} documents are in both, {counts}; only those in both are paired")
            pairs[name, task], notes = pair(task, a, b, options.by_prompt, mismatch)
            result.notes += [f"{task}, {name}: {note}" for note in notes]
        refuse(mismatch, result.reference, name)
    if not options.by_prompt:
        result.notes.append("paired by document and not by prompt: differences include the prompts' (chat templates)")
    for name, task in track(list(pairs)):
        a, b = samples[result.reference, task], samples[name, task]
        result.differences += _task_differences(result, name, task, a, b, pairs[name, task])
    _note_aggregates(result, samples)
    _correct(result)


def _task_differences(
    result: Comparison, name: str, task: str, a: TaskSamples, b: TaskSamples, keys: list[Key]
) -> list[Difference]:
    found, dropped = [], defaultdict(list)
    clustered = result.options.cluster is not None
    for row in result.scores:
        if row.task != task or row.metric not in a.metrics or row.metric not in b.metrics or not row.is_number:
            continue
        if row.metric in a.structured or row.metric in b.structured:
            continue
        chosen = [key for key in keys if key[0] == row.filter]
        means = [(a.documents[key].mean(row.metric), b.documents[key].mean(row.metric)) for key in chosen]
        labels = [a.documents[key].cluster for key in chosen]
        whole = [(c, x, y) for c, (x, y) in zip(labels, means, strict=True) if x is not None and y is not None]
        lost = len(chosen) - len(whole)
        if lost:
            dropped[lost].append(row.metric)
        if not whole:
            continue
        clusters, x, y = zip(*whole, strict=True)
        options = result.options
        paired = statistics.compare_paired(x, y, clusters if clustered else None, options.resamples, options.seed)
        found.append(Difference(row, name, result.is_selected(row), paired, lost))
    for count, metrics in dropped.items():
        result.notes.append(f"{task}, {name}: {count} pairs without two numbers left out of {_listed(metrics)}")
    few = {each.paired.clusters for each in found if clustered and each.paired.clusters < FEW_CLUSTERS}
    if few:
        result.notes.append(f"{task}, {name}: only {max(few)} clusters; with fewer than {FEW_CLUSTERS} p is rough")
    return found


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
            f"{task}, {name}: the task's value of {_listed(metrics)} is not the mean over its samples; "
            "the difference tested is that of the means"
        )
    for task, metrics in not_numbers.items():
        result.notes.append(f"{task}: not tested, for its samples are not single numbers: {_listed(metrics)}")


def _correct(result: Comparison) -> None:
    chosen = [each for each in result.differences if each.selected]
    corrected = dict(zip(map(id, chosen), statistics.holm(each.paired.p for each in chosen), strict=True))
    result.differences = [replace(each, p_holm=corrected.get(id(each), math.nan)) for each in result.differences]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
