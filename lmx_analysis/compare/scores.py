"""The aggregated values of runs, in the order of the results files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lmx_analysis.compare.pairing import number_or_none
from lmx_files.runs import Run

_NOT_METRICS = ("alias", "name", "sample_len", "sample_count")
ARROWS = {True: "↑", False: "↓", None: ""}


@dataclass(frozen=True)
class Score:
    """One run's value of one metric: `value` and `stderr` are None where the results file holds no number."""

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
                score = Score(number_or_none(value), number_or_none(stderr), *_about(run, task, values))
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
