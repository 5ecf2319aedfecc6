"""All arms of a sweep in one table: scores beside what the texts cost and how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from lmx_analysis import tables
from lmx_analysis.compare.scores import ScoreRow, main_metrics, score_rows
from lmx_analysis.timing import has_all_times, side_by_side, span
from lmx_files.errors import UserError
from lmx_files.runs.folders import Run, read_run
from lmx_runs.sweep.arms import Arm
from lmx_runs.sweep.state import ArmState

CSV, JSON = "collated.csv", "collated.json"
# Statistics of the run that lmx's models leave in the results, in the order of the columns.
_COSTS = ("texts", "tokens_kept", "forwards", "tokens_per_forward", "model_seconds", "seconds", "tokens_per_second")
_SHOWN_COSTS = ("forwards", "tokens_per_forward", "seconds", "stopped")


def collate(folder: Path, arms: Sequence[Arm], states: Mapping[str, ArmState]) -> Table:
    """Write ``collated.csv`` and ``collated.json`` into a sweep's folder and return the table for people.

    The files hold every number of every arm: a score as ``task/metric`` (with ``,filter`` where a task has several)
    with its ``_stderr`` and ``_n``; ``stopped`` is the share of texts that ended by an end-of-text token or a stop
    string and not at a limit, ``run_seconds`` what the whole arm took. The table holds each task's main metrics.

    An arm whose results cannot be read is shown without them, one of ``stage=make`` without scores, for its texts
    are no answers. `seconds` and `run_seconds` are missing where an earlier attempt wrote some of the texts;
    `model_seconds` count all of them.
    """
    runs = {arm.name: run for arm in arms if (run := _run(folder, states.get(arm.name))) is not None}
    rows = [row for row in score_rows(runs) if row.is_number]
    filters = {
        (row.task, row.metric): {r.filter for r in rows if (r.task, r.metric) == (row.task, row.metric)} for row in rows
    }
    names = {id(row): _score_name(row, len(filters[row.task, row.metric]) > 1) for row in rows}
    keys = list(dict.fromkeys(key for arm in arms for key in arm.settings))
    records = [_record(arm, states.get(arm.name, ArmState()), runs.get(arm.name)) for arm in arms]
    flat = [
        {"arm": r["arm"], "status": r["status"], "model": r["model"]}
        | {f"settings.{key}": r["settings"].get(key) for key in keys}
        | {name: value for row in rows for name, value in _cells(row, names[id(row)], r["arm"]).items()}
        | r["decoding"]
        | {"run_seconds": r["run_seconds"]}
        for r in records
    ]
    whole = [
        r | {"scores": {names[id(row)]: _score(row, r["arm"]) for row in rows if r["arm"] in row.scores}}
        for r in records
    ]
    tables.write_files(folder, {CSV: tables.csv_text(flat), JSON: tables.json_text(whole)})
    table = _table(records, [(names[id(row)], row) for row in _main(rows, runs)])
    table.caption, table.caption_justify = "\n".join(_notes(arms, states, runs)) or None, "left"
    return table


def _notes(arms: Sequence[Arm], states: Mapping[str, ArmState], runs: Mapping[str, Run]) -> list[str]:
    """Say which numbers of the table are no scores, or no times to compare."""
    notes = []
    if made := [name for name, run in runs.items() if run.is_make_stage]:
        notes.append(f"not scored, stage=make writes texts for another arm: {', '.join(made)}")
    if resumed := [name for name, run in runs.items() if not has_all_times(run)]:
        notes.append(f"no seconds, because an earlier attempt wrote some of the texts: {', '.join(resumed)}")
    spans = {
        arm.name: span("here", state.started, state.seconds)
        for arm in arms
        if (state := states.get(arm.name)) is not None and state.executor == "local" and arm.name in runs
    }
    if shared := side_by_side(spans):
        notes.append(f"ran side by side and shared the cores, so their seconds are longer than alone: {_few(shared)}")
    return notes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} arms"


def _run(folder: Path, state: ArmState | None) -> Run | None:
    if state is None or state.status != "done" or state.results is None:
        return None
    try:
        return read_run(folder / state.results)
    except UserError:
        return None


def _record(arm: Arm, state: ArmState, run: Run | None) -> dict[str, Any]:
    """Return what is known of an arm beside its scores."""
    decoding = run.decoding if run else {}
    finish = decoding.get("finish") or {}
    texts = sum(finish.values())
    timed = run is None or has_all_times(run)
    return {
        "arm": arm.name,
        "status": state.status,
        "reason": state.reason,
        "model": str(arm.flags["model"]) if arm.flags else "",
        "settings": dict(arm.settings),
        "scored": run is not None and not run.is_make_stage,
        "decoding": {name: decoding.get(name) for name in _COSTS}
        | ({} if timed else {"seconds": None})
        | {"texts_from_journal": decoding.get("texts_from_journal")}
        | {"stopped": (finish.get("eos", 0) + finish.get("stop", 0)) / texts if texts else None},
        "finish": dict(finish),
        "run_seconds": state.seconds if timed else None,
        "results": state.results,
    }


def _score_name(row: ScoreRow, several: bool) -> str:
    return f"{row.task}/{row.metric}" + (f",{row.filter}" if several else "")


def _cells(row: ScoreRow, name: str, arm: str) -> dict[str, float | int | None]:
    score = row.scores.get(arm)
    if score is None:
        return {name: None, f"{name}_stderr": None, f"{name}_n": None}
    return {name: score.value, f"{name}_stderr": score.stderr, f"{name}_n": score.n}


def _score(row: ScoreRow, arm: str) -> dict[str, Any]:
    score = row.scores[arm]
    return {"value": score.value, "stderr": score.stderr, "n": score.n, "higher_is_better": row.higher_is_better}


def _main(rows: Sequence[ScoreRow], runs: Mapping[str, Run]) -> list[ScoreRow]:
    """Return the rows for the printed table: what a task's author named as main metrics, else its first metric."""
    chosen = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        named = {metric for run in runs.values() for metric in main_metrics(run, task)}
        chosen += [row for row in own if row.metric in named] or own[:1]
    return chosen


def _table(records: Sequence[Mapping[str, Any]], scores: Sequence[tuple[str, ScoreRow]]) -> Table:
    measured = any(record["decoding"]["forwards"] is not None for record in records)
    costs = _SHOWN_COSTS if measured else ()
    tasks = {row.task for _, row in scores}
    only = next(iter(tasks)) if len(tasks) == 1 else ""
    columns = [("arm", False), ("status", False)]
    columns += [(name.removeprefix(f"{only}/") if only else name, True) for name, _ in scores]
    columns += [(name.replace("_", " "), True) for name in costs]
    lines = []
    for record in records:
        cells = [record["arm"], record["status"]]
        for _, row in scores:
            score = row.scores.get(record["arm"])
            error = f" ± {tables.number(score.stderr)}" if score and score.stderr is not None else ""
            cells.append(tables.number(score.value) + error if score else "")
        cells += [_cost(record["decoding"][name]) for name in costs]
        lines.append(cells)
    table = tables.table(only, columns, lines)
    table.columns[0].no_wrap = True  # a name is for copying
    return table


def _cost(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
