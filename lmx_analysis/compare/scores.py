"""The aggregated values of runs, in the order of the results files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lmx_analysis.compare.arms import Arms
from lmx_analysis.compare.pairing import number_or_none
from lmx_analysis.stats import Metric, metric_of
from lmx_files.runs.folders import Run

_NOT_METRICS = ("alias", "name", "sample_len", "sample_count")
ARROWS = {True: "↑", False: "↓", None: ""}


@dataclass(frozen=True)
class Score:
    """One run's value of one metric: `value` and `stderr` are None where the results file holds no number.

    A standard error of 0 is none: values that are all alike do not show that nothing varies.
    """

    value: float | None
    stderr: float | None
    n: int | None
    version: str
    n_shot: str


@dataclass(frozen=True)
class ScoreRow:
    """One row of lm_eval's table, for all runs; `scores` has an entry for each run that has the metric."""

    task: str
    alias: str
    filter: str
    metric: str
    higher_is_better: bool | None
    scores: dict[str, Score]

    @property
    def is_number(self) -> bool:
        """Whether any run has a number here."""
        return any(score.value is not None for score in self.scores.values())


def score_rows(runs: dict[str, Run]) -> list[ScoreRow]:
    """Return the rows of all runs: tasks and metrics in the first run's order, then what only later runs have.

    A run of ``stage=make`` has none: lm_eval needs some text for an answer, and scores it.
    """
    found: dict[tuple[str, str, str], dict[str, Score]] = {}
    directions: dict[tuple[str, str], bool | None] = {}
    aliases: dict[str, str] = {}
    for name, run in runs.items():
        if run.is_make_stage:
            continue  # lm_eval scored texts that are no answers
        for task, values in run.results["results"].items():
            aliases.setdefault(task, str(values.get("alias", task)).strip())
            for key, value in values.items():
                metric, comma, kind = key.partition(",")
                if not comma or metric.endswith("_stderr") or metric in _NOT_METRICS:
                    continue
                stderr = values.get(f"{metric}_stderr,{kind}")
                score = Score(number_or_none(value), number_or_none(stderr) or None, *_about(run, task, values))
                found.setdefault((task, kind, metric), {})[name] = score
                known = (run.results.get("higher_is_better", {}).get(task) or {}).get(metric)
                if directions.get((task, metric)) is None:
                    directions[task, metric] = known
    order = {task: number for number, task in enumerate(aliases)}
    rows = [
        ScoreRow(task, aliases[task], kind, metric, directions[task, metric], scores)
        for (task, kind, metric), scores in found.items()
    ]
    return sorted(rows, key=lambda row: order[row.task])


def arm_rows(arms: Arms) -> list[ScoreRow]:
    """Return the rows of all arms; an arm of several seeds has the mean of their values, and no standard error yet."""
    members = {f"{name}\n{i}": run for name, runs in arms.items() for i, run in enumerate(runs)}
    return [
        replace(
            row,
            scores={
                name: _mean([row.scores[f"{name}\n{i}"] for i in range(len(runs))])
                for name, runs in arms.items()
                if all(f"{name}\n{i}" in row.scores for i in range(len(runs)))
            },
        )
        for row in score_rows(members)
    ]


def _mean(scores: list[Score]) -> Score:
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores if score.value is not None]
    whole = sum(values) / len(values) if len(values) == len(scores) else None
    return replace(scores[0], value=whole, stderr=None)


def declared_metric(runs: Iterable[Run], task: str, metric: str) -> Metric:
    """Return what a metric is, as the task's author declared it in the metadata; a score if no run tells.

    ``metadata: {metric_kinds: {solved: rate, layout_score_0_5: {kind: score, low: 0, high: 5}}}``

    Raises:
        UserError: the declaration names no kind that there is.
    """
    direction, declared, where = None, None, ""
    for run in runs:
        known = (run.results.get("higher_is_better", {}).get(task) or {}).get(metric)
        direction = known if direction is None else direction
        metadata = (run.results.get("configs", {}).get(task) or {}).get("metadata")
        kinds = metadata.get("metric_kinds") if isinstance(metadata, dict) else None
        if declared is None and isinstance(kinds, dict) and metric in kinds:
            declared, where = kinds[metric], f"{metric} in metric_kinds of {task}"
    return metric_of(declared, where, direction)


def _about(run: Run, task: str, values: dict[str, Any]) -> tuple[int | None, str, str]:
    counts = run.results.get("n-samples", {}).get(task) or {}
    n = counts.get("effective", values.get("sample_len"))
    version, shots = ((run.results.get(field) or {}).get(task) for field in ("versions", "n-shot"))
    return n, "" if version is None else str(version), "" if shots is None else str(shots)


def main_metrics(run: Run, task: str) -> list[str]:
    """Return what the task's author declared as its main metrics (``metadata: {main_metrics: [...]}``), or nothing."""
    metadata = (run.results.get("configs", {}).get(task) or {}).get("metadata")
    named = metadata.get("main_metrics") if isinstance(metadata, dict) else None
    return [str(name) for name in named] if isinstance(named, list) else []
