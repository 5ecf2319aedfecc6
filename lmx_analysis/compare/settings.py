"""What two runs did differently that has nothing to do with the model: reasons to doubt a comparison."""

from __future__ import annotations

import json
from typing import Any

from lmx_analysis.compare import samplers
from lmx_files.runs.folders import Run

# A task's settings as lm_eval keeps them; functions are kept as their source.
TASK_SETTINGS = {
    "generation_kwargs": "generation_kwargs",
    "repeats": "repeats",
    "filter_list": "filters",
    "process_results": "scoring code (process_results)",
    "doc_to_target": "doc_to_target",
}
RUN_SETTINGS = ("limit", "gen_kwargs")
FURTHER = ("lm_eval_version", "system_instruction_sha", "fewshot_as_multiturn")
LONGEST = 60


def doubts(reference: Run, run: Run, tasks: list[str]) -> list[str]:
    """Return one line for each setting in which two runs differ, tasks that differ alike together."""
    lines = []
    for name in RUN_SETTINGS:
        a, b = (each.results.get("config", {}).get(name) for each in (reference, run))
        lines += _differ(name, a, b)
    for name in FURTHER:
        lines += _differ(name, reference.results.get(name), run.results.get(name))
    by_line: dict[str, list[str]] = {}
    for task in tasks:
        found = []
        for field, name in (("versions", "task version"), ("n-shot", "n-shot")):
            a, b = ((each.results.get(field) or {}).get(task) for each in (reference, run))
            found += _differ(name, a, b)
        for field, name in TASK_SETTINGS.items():
            a, b = ((each.results.get("configs", {}).get(task) or {}).get(field) for each in (reference, run))
            found += _differ(name, a, b)
        found += samplers.differences(reference, run, task)
        for line in found:
            by_line.setdefault(line, []).append(task)
    return lines + [f"{', '.join(named)}: {line}" for line, named in by_line.items()]


def _differ(name: str, a: Any, b: Any) -> list[str]:
    # lm_eval 0.4.13 writes None for gen_kwargs that are not given, {} in some releases
    if a == b or (not a and not b and not isinstance(a, (int, float)) and not isinstance(b, (int, float))):
        return []
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
        a, b = ({key: each[key] for key in keys if key in each} for each in (a, b))
    shown = [json.dumps(value, ensure_ascii=False, default=str) for value in (a, b)]
    if max(map(len, shown)) > LONGEST:
        return [f"{name} differs"]
    return [f"{name} is {shown[0]} in the reference, {shown[1]} here"]
