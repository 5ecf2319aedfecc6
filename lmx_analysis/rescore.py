"""Scores logged samples again, and writes the outcome as a run of its own.

What scores a sample is passed in, for a task's own scoring needs lm_eval and this package does not import it.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from lmx_files.errors import UserError
from lmx_files.hashing import sha256, sha256_of_text
from lmx_files.runs.folders import SAMPLE_FIELDS, Run
from lmx_files.runs.tally import listed

Restore = Callable[[str, dict[str, Any]], Sequence[Any]]
"""Turns a logged sample of a task back into what its scoring was given: responses after the filter."""
BY_TASK = ("configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes")


class Scorer(Protocol):
    """What gives the samples of one task new values.

    Attributes:
        adds: whether the values come on top of the logged ones, which stay; else they take their place.
        settings: what to change in the results file, by its sections (``versions``, ``higher_is_better``, ...).
    """

    adds: bool
    settings: Mapping[str, Any]

    def score(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
        """Return the metric values of one sample."""

    def aggregate(self, metric: str, values: list[Any]) -> tuple[Any, float | str]:
        """Return the task's value of a metric and its standard error, ``"N/A"`` where it has none."""


@dataclass(frozen=True)
class Change:
    """What became of one metric; `old` is None for a new one, `new` for one that is gone."""

    task: str
    filter: str
    metric: str
    old: Any
    new: Any
    changed: int
    samples: int


@dataclass
class Rescored:
    """A rescored run: the new files by name in the order in which to write them, and what changed."""

    files: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rescore(run: Run, scorers: Mapping[str, Scorer], restore: Restore, origin: Mapping[str, Any]) -> Rescored:
    """Score the logged samples of some tasks again.

    `origin` goes into the new results file under ``config.rescored_from``, beside the hashes of the files read.

    Raises:
        UserError: a logged document is not the one that the run used (its hash differs), by task and number.
    """
    stamp = datetime.now().isoformat().replace(":", "-")
    outcome = Rescored()
    results = {key: value for key, value in run.results.items() if key not in ("results", "groups", "group_subtasks")}
    for section in BY_TASK:
        results[section] = {task: value for task, value in (results.get(section) or {}).items() if task in scorers}
    results |= {"results": {}, "group_subtasks": {}}
    for task, scorer in scorers.items():
        lines, raw, changed = _samples(run, task, scorer, restore)
        outcome.files[f"samples_{task}_{stamp}.jsonl"] = "".join(lines)
        results["results"][task] = _aggregated(run, task, scorer, raw)
        for section, value in scorer.settings.items():
            merged = results[section].get(task)
            results[section][task] = {**merged, **value} if isinstance(merged, dict) else value
        outcome.changes += _changes(run, task, results["results"][task], raw, changed, scorer.adds)
    files = {task: {"file": str(run.sample_files[task]), "sha256": sha256(run.sample_files[task])} for task in scorers}
    record = {"file": str(run.file), "sha256": sha256(run.file), "samples": files, **origin}
    results["config"] = {**results.get("config", {}), "rescored_from": record}
    outcome.files[f"results_{stamp}.json"] = json.dumps(results, indent=2, ensure_ascii=False, default=_as_lm_eval)
    left = [task for task in run.results["results"] if task not in scorers]
    if left:
        outcome.notes.append(f"left out, not rescored: {', '.join(left)} (values of groups are not made again)")
    return outcome


def mean_and_stderr(values: Sequence[float]) -> tuple[float, float | str]:
    """Return the mean and its standard error by lm_eval's formula, s / sqrt(n) with n - 1 in s; ``"N/A"`` for one."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, "N/A"
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) / math.sqrt(n)


def is_unchanged(sample: Mapping[str, Any]) -> bool:
    """Whether the logged document still has the hash that lm_eval gave it."""
    text = json.dumps(sample["doc"], indent=2, ensure_ascii=False)
    return sha256_of_text(text) == sample["doc_hash"]


Values = dict[tuple[str, str], list[Any]]
"""By metric and filter, in the order of the samples."""


def _samples(run: Run, task: str, scorer: Scorer, restore: Restore) -> tuple[list[str], Values, dict[Any, int]]:
    lines: list[str] = []
    raw: Values = defaultdict(list)
    changed: dict[Any, int] = defaultdict(int)
    foreign = []
    for number, sample in enumerate(run.samples(task), 1):
        if not {"doc", "doc_id", "doc_hash", "filter", "filtered_resps"} <= set(sample):
            raise UserError(f"{run.sample_files[task]}, sample {number}: not a line of a samples file")
        if not isinstance(sample["doc"], dict) or not isinstance(sample["filtered_resps"], list):
            raise UserError(
                f"{run.sample_files[task]}, sample {number}: its doc is no object, or its filtered_resps no list"
            )
        if not is_unchanged(sample):
            foreign.append(int(sample["doc_id"]))
            continue
        old, fresh = run.metrics_of(sample), scorer.score(sample, restore(task, sample))
        for metric, value in fresh.items():
            raw[metric, sample["filter"]].append(value)
        new = json.loads(json.dumps({**old, **fresh} if scorer.adds else dict(fresh), default=_as_lm_eval))
        for metric in {**old, **new}:
            if metric not in old or metric not in new or not _same(old[metric], new[metric]):
                changed[metric, sample["filter"]] += 1
        fields = {name: list(new) if name == "metrics" else sample[name] for name in sample if name in SAMPLE_FIELDS}
        lines.append(json.dumps({**fields, **new}, ensure_ascii=False) + "\n")
    if foreign:
        raise UserError(
            f"{run.sample_files[task]}: {listed(foreign)}: the document does not match its doc_hash, so the "
            "file was changed after the run. Score the file that the run wrote"
        )
    return lines, raw, changed


def _aggregated(run: Run, task: str, scorer: Scorer, raw: Values) -> dict[str, Any]:
    old = run.results["results"].get(task, {})
    kept = {key: value for key, value in old.items() if scorer.adds or "," not in key}
    for (metric, kind), values in raw.items():
        value, stderr = scorer.aggregate(metric, values)
        kept |= {f"{metric},{kind}": value, f"{metric}_stderr,{kind}": stderr}
    return kept


def _changes(
    run: Run, task: str, new: Mapping[str, Any], raw: Values, changed: Mapping[Any, int], adds: bool
) -> list[Change]:
    old = run.results["results"].get(task, {})
    keys = [f"{metric},{kind}" for metric, kind in raw]
    gone = [] if adds else [key for key in old if "," in key and "_stderr," not in key and key not in keys]
    found = []
    for key in [*keys, *gone]:
        metric, _, kind = key.partition(",")
        count = changed.get((metric, kind), 0)
        found.append(Change(task, kind, metric, old.get(key), new.get(key), count, len(raw.get((metric, kind), ()))))
    return found


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)  # NaN stays NaN


def _as_lm_eval(value: Any) -> Any:
    """Write a value as lm_eval does: numpy's numbers as numbers, sets as lists, all else as text."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    return list(value) if isinstance(value, set) else str(value)
