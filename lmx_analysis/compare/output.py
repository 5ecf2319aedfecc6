"""A comparison as tables for the screen and as rows for CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lmx_analysis.compare.comparison import Comparison
from lmx_analysis.compare.scores import ARROWS, Score, ScoreRow
from lmx_analysis.compare.testing import Difference
from lmx_analysis.tables import csv_text, json_text, number, p_value, table
from lmx_files import manifest
from lmx_files.runs.folders import Run
from lmx_files.safety import secrets


def score_table(comparison: Comparison) -> Table:
    """Return lm_eval's table with a column for each run, the reference first."""
    names = [comparison.reference, *(name for name in comparison.runs if name != comparison.reference)]
    columns = [("Tasks", False), ("Version", True), ("Filter", False), ("n-shot", True), ("Metric", False), ("", False)]
    columns += [(name, True) for name in names] + [("n", True)]
    rows = []
    for row in filter(comparison.is_selected, comparison.scores):
        scores = [row.scores.get(name) for name in names]
        version, shots = (_merged([getattr(s, field) for s in scores if s]) for field in ("version", "n_shot"))
        n = _merged(["" if s.n is None else str(s.n) for s in scores if s])
        head = [row.alias, version, row.filter, shots, row.metric, ARROWS[row.higher_is_better]]
        rows.append([*head, *map(_score, scores), n])
    return table("Scores ± standard error", columns, rows)


def difference_table(comparison: Comparison) -> Table | None:
    """Return the table of selected paired differences, or None if nothing could be paired."""
    chosen = [each for each in comparison.differences if each.selected]
    if not chosen:
        return None
    several = len(comparison.runs) > 2
    columns = [("Run", False)] if several else []
    columns += [("Tasks", False), ("Filter", False), ("Metric", False), ("", False), ("n", True)]
    columns += [("Difference", True), ("95% interval", True), ("p", True), ("p (Holm)", True), ("p (max-T)", True)]
    columns += [("", False), ("Test", False)]
    run = "" if several else f"{next(name for name in comparison.runs if name != comparison.reference)} minus "
    by = "max-T" if comparison.options.correction == "max-t" else "Holm"
    how = "" if comparison.options.by_prompt else ", prompts differ"
    title = (
        f"Paired differences: {run or 'each run minus '}{comparison.reference}{how} ({by} over {_rows(len(chosen))})"
    )
    rows = [([each.run] if several else []) + _difference(each) for each in chosen]
    return table(f"\n{title}", columns, rows)


def score_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each metric and run, unselected ones included."""
    return [
        {"run": name, **_of(row), "selected": comparison.is_selected(row), **asdict(score)}
        for row in comparison.scores
        for name, score in row.scores.items()
    ]


def difference_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each tested metric, unselected ones included."""
    return [
        {
            "run": each.run,
            "reference": comparison.reference,
            **_of(each.row),
            "selected": each.selected,
            "n": each.paired.n,
            "dropped": each.missing.dropped,
            "missing_reference": each.missing.reference,
            "missing_run": each.missing.run,
            "missing_both": each.missing.both,
            "infinite": each.missing.infinite,
            "p_missing": each.missing.p,
            "worst_low": each.missing.worst.low,
            "worst_high": each.missing.worst.high,
            "clusters": each.paired.clusters,
            "effective_clusters": each.paired.effective,
            "differing_clusters": each.paired.differing,
            "reference_mean": each.paired.reference,
            "run_mean": each.paired.run,
            "difference": each.paired.difference,
            "low": each.paired.interval.low,
            "high": each.paired.interval.high,
            "p": each.paired.p,
            "p_holm": each.p_holm,
            "p_max_t": each.p_max_t,
            "verdict": each.verdict,
            "withheld": each.missing.withheld or each.paired.interval.withheld,
            "test": each.paired.test,
            "kind": each.metric.kind,
            "skewness": each.paired.skewness,
        }
        for each in comparison.differences
    ]


def document(comparison: Comparison) -> dict[str, Any]:
    """Return everything: settings, versions, the files and their hashes, notes, scores and differences."""
    runs = [run for arm in comparison.arms.values() for run in arm]
    hashes = manifest.hashes(path for run in runs for path in (run.file, *run.sample_files.values()))
    settings = {
        **asdict(comparison.options),
        "confidence": 0.95,
        "corrections": "Holm, and Westfall and Young's step-down max-T, over the selected rows of differences",
        "resamples_drawn": comparison.resamples,
    }
    return {
        "reference": comparison.reference,
        "runs": {name: _arm(arm, hashes) for name, arm in comparison.arms.items()},
        **manifest.of_analysis(hashes, settings, {"sign flips": comparison.options.seed}),
        "notes": comparison.notes,
        "scores": score_records(comparison),
        "differences": difference_records(comparison),
    }


def files(comparison: Comparison) -> dict[str, str]:
    """Return the output files by name."""
    return {
        "scores.csv": csv_text(score_records(comparison)),
        "differences.csv": csv_text(difference_records(comparison)),
        "compare.json": json_text(document(comparison)),
    }


def _arm(runs: Sequence[Run], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return what a column was read from; of several seeds the first, and all of them under ``seeds``."""
    each = [_run(run, hashes) for run in runs]
    return each[0] | ({"seeds": each} if len(runs) > 1 else {})


def _run(run: Run, hashes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "file": str(run.file),
        "sha256": hashes[str(run.file)],
        "samples": {task: {"file": str(path), "sha256": hashes[str(path)]} for task, path in run.sample_files.items()},
        "model": run.model,
        "model_args": secrets.redact(run.results.get("config", {}).get("model_args"), "model_args"),
        "lm_eval_version": run.results.get("lm_eval_version"),
    }


def _rows(count: int) -> str:
    return f"{count} row{'s' if count > 1 else ''}"


def _of(row: ScoreRow) -> dict[str, Any]:
    return {
        "task": row.task,
        "filter": row.filter,
        "metric": row.metric,
        "higher_is_better": row.higher_is_better,
    }


def _merged(values: list[str]) -> str:
    return "/".join(dict.fromkeys(values))


def _score(score: Score | None) -> str:
    if score is None or score.value is None:
        return "—"
    return number(score.value) if score.stderr is None else f"{number(score.value)} ± {number(score.stderr)}"


def _difference(each: Difference) -> list[str]:
    pair = each.paired
    ends = pair.interval
    interval = f"{number(ends.low, True)} to {number(ends.high, True)}" if ends.known else "—"
    dropped = each.missing.dropped
    return [
        each.row.alias,
        each.row.filter,
        each.row.metric,
        ARROWS[each.row.higher_is_better],
        f"{pair.n} of {pair.n + dropped}" if dropped else str(pair.n),
        number(pair.difference, True),
        interval,
        p_value(pair.p),
        p_value(each.p_holm),
        p_value(each.p_max_t),
        each.verdict,
        pair.test,
    ]
