"""What stands above the samples: which runs these are, their settings, their results and what they cost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lmx_analysis.report.traces import COSTS, Marks
from lmx_analysis.timing import has_all_times
from lmx_files.reading import is_regular
from lmx_files.runs.folders import Run

PLOTS = (".png", ".svg")
MAKE = "stage=make: these texts are for the other half of a cut graph and no answers, so their scores are left out"


def labels(runs: list[Run]) -> list[str]:
    """Return a short name for each run, all different: model, weights, then whatever tells equal ones apart."""
    names = [_name(run) for run in runs]
    arguments = [_arguments(run) for run in runs]
    for name in {name for name in names if names.count(name) > 1}:
        same = [i for i, other in enumerate(names) if other == name]
        keys = dict.fromkeys(key for i in same for key in arguments[i] if key not in ("traces", "pretrained", "oracle"))
        telling = [key for key in keys if len({str(arguments[i].get(key)) for i in same}) > 1]
        for i in same:
            names[i] = " ".join([name, *(f"{key}={arguments[i].get(key, 'default')}" for key in telling)])
    return [name if names.count(name) == 1 else f"{name} {run.stamp}" for name, run in zip(names, runs, strict=True)]


def describe(run: Run, label: str) -> dict[str, Any]:
    """Return one run's card: label, when, how long, how much was written and how it ended."""
    decoding = run.decoding
    seconds = _number(run.results.get("total_evaluation_time_seconds"))
    told = [MAKE] if run.is_make_stage else []
    if not has_all_times(run):
        told.append(
            f"{decoding['texts_from_journal']} of {decoding.get('texts')} texts were written by earlier attempts: "
            "the times are of this attempt, and are left out where all texts count"
        )
    return {
        "label": label,
        "file": str(run.file),
        "date": _date(run.results.get("date")) or run.stamp,
        "seconds": seconds,
        "tasks": len(run.results["results"]),
        "texts": decoding.get("texts"),
        "tokens_per_second": _number(decoding.get("tokens_per_second")),
        "oracle_share": _number(decoding.get("oracle_share")),
        "finish": decoding.get("finish") if isinstance(decoding.get("finish"), dict) else None,
        "notes": [*run.notes, *map(str, decoding.get("notes") or []), *told],
        "settings": settings(run),
    }


def settings(run: Run) -> dict[str, Any]:
    """Return all that was set or recorded of a run, flat: ``section.name`` to a printable value.

    Sections: run, model, decoding, lm_eval, versions, machine, seeds, and what else the manifest holds.
    """
    config, manifest = run.results.get("config") or {}, run.manifest
    skipped = {"model_args", "decoding", "model", "batch_sizes"}
    versions = manifest.get("versions")
    sections: dict[str, Any] = {
        "run": {
            "command": manifest.get("command"),
            "git": manifest.get("git") or run.results.get("git_hash"),
            "date": _date(run.results.get("date")),
            "seconds": _number(run.results.get("total_evaluation_time_seconds")),
        },
        "model": {"name": run.model} | _arguments(run),
        "decoding": {
            "method": run.decoding.get("method"),
            **(run.decoding.get("settings") or {}),
            "seed": run.decoding.get("seed"),
        },
        "lm_eval": {key: value for key, value in config.items() if key not in skipped}
        | {"chat_template": run.results.get("chat_template_sha")},
        "versions": {
            "lm_eval": run.results.get("lm_eval_version"),
            "transformers": run.results.get("transformers_version"),
            **(versions if isinstance(versions, dict) else {}),
        },
        "task version": run.results.get("versions") or {},
        **{key: manifest[key] for key in manifest if key not in ("command", "git", "versions", "files")},
    }
    return {key: value for key, value in _flat(sections) if value not in (None, "", [], {})}


def leaderboard(runs: list[Run]) -> list[dict[str, Any]]:
    """Return one entry a task, in order of appearance.

    Each has ``task`` and ``rows``: ``metric`` (``name`` or ``name,filter``), ``better`` (1 higher, -1 lower, 0
    unknown) and ``values``, for each run ``[value, stderr, n]`` or null. Groups of tasks come after the tasks.
    """
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for number, run in enumerate(runs):
        if run.is_make_stage:
            continue
        for task, entry in {**run.results["results"], **(run.results.get("groups") or {})}.items():
            rows = tables.setdefault(str(task), {})
            directions = (run.results.get("higher_is_better") or {}).get(task) or {}
            n = entry.get("sample_len") or ((run.results.get("n-samples") or {}).get(task) or {}).get("effective")
            for key in _in_order(entry, directions):
                name, _, label = key.partition(",")
                higher = directions.get(name)
                better = 0 if higher is None else 1 if higher else -1
                metric = name if label in ("", "none") else f"{name},{label}"
                blank = {"metric": metric, "better": better, "values": [None] * len(runs)}
                # values that are all alike have a standard error of 0, which tells nothing of how they vary
                stderr = _number(entry.get(f"{name}_stderr,{label}")) or None
                rows.setdefault(metric, blank)["values"][number] = [_number(entry[key]), stderr, n]
    return [{"task": task, "rows": list(rows.values())} for task, rows in tables.items() if rows]


def costs(run: Run, traces: Marks) -> dict[str, Any]:
    """Return what a run's texts cost on average.

    ``run``: over all texts of the run, from its statistics, with ``seconds`` of decoding and ``model_seconds``;
    ``tasks``: over the texts of one task, for tasks whose every text has a trace; ``evaluation``: seconds of the whole
    evaluation. Seconds of a resumed run are missing: they are of this attempt, and counts are of all texts.
    """
    decoding = run.decoding
    texts = _number(decoding.get("texts"))
    whole = {}
    if texts:
        totals = {
            "kept": "tokens_kept",
            "forwards": "forwards",
            "fed": "tokens_fed",
            "model_seconds": "model_seconds",
            **({"seconds": "seconds"} if has_all_times(run) else {}),
        }
        found = {name: _number(decoding.get(key)) for name, key in totals.items()}
        whole = {name: value / texts for name, value in found.items() if value is not None}
    tasks = {
        task: {name: sums[name] / sums["texts"] for name in COSTS}
        for task, sums in traces.costs.items()
        if sums["texts"] == sums["traced"] > 0
    }
    evaluation = _number(run.results.get("total_evaluation_time_seconds")) if has_all_times(run) else None
    return {"run": whole, "tasks": tasks, "evaluation": evaluation}


def plots(run: Run, output: Path) -> list[dict[str, str]]:
    """Return name and relative link of the pictures in the run's folder, for a page at `output`."""
    folder = run.file.parent
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PLOTS and is_regular(path) and path.resolve().is_relative_to(folder.resolve())
    )
    start = output.resolve().parent
    # "./" keeps a name like "javascript:x.png" a path.
    links = ["./" + quote(Path(os.path.relpath(path.resolve(), start)).as_posix()) for path in files]
    return [{"name": path.name, "href": link} for path, link in zip(files, links, strict=True)]


def _name(run: Run) -> str:
    arguments = _arguments(run)
    weights = [str(arguments[key]) for key in ("pretrained", "model", "oracle") if arguments.get(key)]
    short = [Path(name.rstrip("/")).name or name for name in weights]
    return " ".join([run.model, " + ".join(short)]) if short else run.model


def _arguments(run: Run) -> dict[str, Any]:
    given = (run.results.get("config") or {}).get("model_args") or {}
    if isinstance(given, str):  # lm_eval before 0.4.10 kept the text
        given = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
    return dict(given) if isinstance(given, dict) else {}


def _in_order(entry: dict[str, Any], directions: dict[str, Any]) -> list[str]:
    """Return the keys of numbers among a task's results, in the task's own order of metrics."""
    keys = [
        key
        for key, value in entry.items()
        if _number(value) is not None and "_stderr" not in key and key not in ("sample_len", "samples", "sample_count")
    ]
    place = {name: i for i, name in enumerate(directions)}
    return sorted(keys, key=lambda key: place.get(key.partition(",")[0], len(place)))


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        yield path, " ".join(map(str, value)) if all(isinstance(item, str) for item in value) else str(value)
    else:
        yield path, value


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 < value < 1e300:
        return None
    return value


def _date(value: Any) -> str | None:
    seconds = _number(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):  # no year that a calendar has
        return None
