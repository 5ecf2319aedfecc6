"""Finished guided runs, grouped by their settings over seeds, as arrays over the documents that all of them have."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.guided.runs import GuidedText, fill_missing, guided_texts, metric_in, metric_value, settings_of
from lmx_analysis.guided_curve.design import Cells
from lmx_analysis.stats import Metric
from lmx_files.errors import UserError, few, unknown
from lmx_files.runs.folders import Run
from lmx_files.runs.tally import listed as documents_listed

# What all runs of one curve must have in common: the two models and how each of them samples.
SHARED = (
    "base", "oracle", "handover", "temperature", "top_k", "top_p", "min_p", "oracle_temperature", "max_gen_toks",
)  # fmt: skip
# Says nothing about the text.
IGNORED = ("record",)
PARSE_RATES = ("parse_rate", "parsed")
Key = tuple[str, int, str]
Track = Callable[[Sequence[tuple[Run, str]]], Iterable[tuple[Run, str]]]


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed.

    Attributes:
        role: ``base`` (the oracle is never asked), ``oracle`` (it writes everything) or ``point``.
        settings: all of them but the seed; for the ends only what is shared by all runs.
        parse_rate: share of answers that could be parsed; None if the task does not say.
    """

    role: str
    settings: dict[str, Any]
    seeds: list[int]
    cells: Cells
    parse_rate: float | None

    @property
    def policy(self) -> str:
        """The policy's name; the role for an end."""
        return str(self.settings["policy"]) if self.role == "point" else self.role


@dataclass
class _Answers:
    correct: dict[Key, float]
    oracle: dict[Key, float]
    total: dict[Key, float]
    parsed: dict[Key, float | None]


@dataclass(frozen=True)
class Data:
    """All groups over the same documents.

    Attributes:
        clusters: the number of each document's cluster, shape ``[documents]``.
        higher: whether more of the metric is better; None if the runs do not say.
        rate: whether the metric is a share of right answers; declared, or undeclared and all values 0 or 1.
    """

    groups: list[Group]
    clusters: NDArray[np.intp]
    notes: list[str]
    higher: bool | None
    rate: bool


def role_of(settings: dict[str, Any]) -> str:
    """Return ``base``, ``oracle`` or ``point``; see `Group`."""
    if settings["policy"] == "never" or not all(settings[name] for name in ("c", "k", "max_oracle_tokens")):
        return "base"
    endless = all(settings[name] == math.inf for name in ("c", "k", "max_oracle_tokens"))
    return "oracle" if endless else "point"


def read_groups(
    runs: Sequence[Run], tasks: Sequence[str], metric: str, filter_name: str | None, cluster: str | None, track: Track
) -> Data:
    """Read the answers of all runs and group them.

    Args:
        cluster: field of a document that names its cluster; by default each document is its own.

    Raises:
        UserError: the runs differ in a model or in sampling, or have no document in common, or the metric has no mean.
    """
    runs = [run for run in runs if any(task in run.sample_files for task in tasks)]
    shared = _shared(runs, tasks)
    notes: list[str] = []
    by_group: dict[str, dict[int, tuple[str, _Answers]]] = defaultdict(dict)
    settings_by_group: dict[str, dict[str, Any]] = {}
    answers = {run.file: _Answers({}, {}, {}, {}) for run in runs}
    cluster_of: dict[Key, str] = {}
    for run, task in track([(run, task) for run in runs for task in tasks if task in run.sample_files]):
        for text in guided_texts(run, task, filter_name, notes):
            key = (task, text.doc_id, str(text.sample["prompt_hash"]))
            cluster_of[key] = _cluster(text, cluster)
            _add(answers[run.file], key, text, metric)
    for run in runs:
        settings = {k: v for k, v in settings_of(run, _first(run, tasks)).items() if k not in IGNORED}
        role = role_of(settings)
        settings = settings if role == "point" else shared
        name = role + repr(sorted(settings.items()))
        seed = int(run.decoding.get("seed", 0))
        known = by_group[name].get(seed)
        if known is None or known[0] < run.stamp:
            by_group[name][seed] = (run.stamp, answers[run.file])
        if known is not None and f"{role}: several" not in "".join(notes):
            notes.append(f"{role}: several runs of the same settings and seed; the newest of them counts")
        settings_by_group[name] = settings | {"role": role}
    keys = _common([each for seeds in by_group.values() for _, each in seeds.values()], notes)
    labels = [cluster_of[key] for key in keys]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    groups = [
        _group(settings_by_group[name], {seed: found for seed, (_, found) in sorted(seeds.items())}, keys)
        for name, seeds in by_group.items()
    ]
    found = metric_in(runs, [task for task in tasks if any(task in run.sample_files for run in runs)], metric)
    groups = _filled(groups, metric, found, notes)
    rate = found.kind == "rate" or (not _declared(runs, tasks, metric) and _zero_one(groups))
    return Data(
        groups, np.array([numbers[label] for label in labels], dtype=np.intp), notes, found.higher_is_better, rate
    )


def _declared(runs: Sequence[Run], tasks: Sequence[str], metric: str) -> bool:
    """Whether a task says what kind of metric it is."""
    configs = [run.results.get("configs", {}).get(task) or {} for run in runs for task in tasks]
    metadata = [each.get("metadata") for each in configs]
    kinds = [each.get("metric_kinds") for each in metadata if isinstance(each, dict)]
    return any(isinstance(each, dict) and metric in each for each in kinds)


def _zero_one(groups: Sequence[Group]) -> bool:
    """Whether all answers of all runs have 0 or 1."""
    return all(bool(np.isin(group.cells.correct, (0.0, 1.0)).all()) for group in groups)


def _filled(groups: Sequence[Group], name: str, metric: Metric, notes: list[str]) -> list[Group]:
    """Return groups without missing values: each counts as the worst one; a note says where and what."""
    _, worst = fill_missing(np.concatenate([group.cells.correct.ravel() for group in groups]), name, metric)
    if math.isnan(worst):
        return list(groups)
    filled, lost = [], []
    for group in groups:
        missing = np.isnan(group.cells.correct)
        filled.append(replace(group, cells=replace(group.cells, correct=np.where(missing, worst, group.cells.correct))))
        if missing.any():
            settings = [f"{n}={group.settings[n]}" for n in ("c", "k", "prob") if n in group.settings]
            lost.append(f"{' '.join([group.policy, *settings])} {int(missing.sum())} of {missing.size}")
    notes.append(
        f"answers without {name} (not parsed, for instance) count as {worst:g}, the worst there is: {', '.join(lost)}"
    )
    return filled


def _shared(runs: Sequence[Run], tasks: Sequence[str]) -> dict[str, Any]:
    every = [settings_of(run, _first(run, tasks)) for run in runs]
    for name in SHARED:
        values = list(dict.fromkeys(str(settings.get(name)) for settings in every))
        if len(values) > 1:
            raise UserError(f"the runs differ in {name}: {few(values)}. Give runs of one of them")
    return {name: every[0].get(name) for name in SHARED}


def _first(run: Run, tasks: Sequence[str]) -> str:
    return next(task for task in tasks if task in run.sample_files)


def _cluster(text: GuidedText, field: str | None) -> str:
    if field is None:
        return f"{text.task}/{text.doc_id}"
    if field not in text.sample["doc"]:
        raise unknown("field of a document in --cluster", field, text.sample["doc"])
    return str(text.sample["doc"][field])


def _add(answers: _Answers, key: Key, text: GuidedText, metric: str) -> None:
    answers.correct[key] = metric_value(text.values, metric)
    answers.oracle[key] = answers.oracle.get(key, 0) + text.oracle_tokens
    answers.total[key] = answers.total.get(key, 0) + len(text.tokens)
    answers.parsed[key] = next((float(text.values[name]) for name in PARSE_RATES if name in text.values), None)


def _common(found: Sequence[_Answers], notes: list[str]) -> list[Key]:
    keys = [key for key in found[0].correct if all(key in each.correct for each in found)]
    union = {key for each in found for key in each.correct}
    if not keys:
        raise UserError("the runs have no prompt in common: give runs of the same task, data and chat template")
    if len(union) > len(keys):
        lost = documents_listed({doc_id for _, doc_id, _ in union - set(keys)})
        notes.append(f"only prompts that every run answered count: {len(keys)}. Left out: {lost}")
    return keys


def _group(settings: dict[str, Any], seeds: dict[int, _Answers], keys: Sequence[Key]) -> Group:
    def table(field: str) -> NDArray[np.float64]:
        return np.array([[getattr(each, field)[key] for key in keys] for each in seeds.values()], dtype=np.float64)

    parsed = [each.parsed[key] for each in seeds.values() for key in keys]
    known = [value for value in parsed if value is not None]
    rate = sum(known) / len(known) if known and len(known) == len(parsed) else None
    settings = dict(settings)
    role = settings.pop("role")
    return Group(
        role, settings, list(seeds), Cells(table("correct"), table("oracle"), table("total"), tuple(seeds)), rate
    )
