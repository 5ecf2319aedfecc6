"""One name for a task, whichever lm_eval has run it.

lm_eval 0.5 calls a task that was asked for as part of a group GROUP::TASK in its results and in the name of its samples
file, and TASK in its requests, and so in traces. 0.4 calls it TASK everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

BY_TASK = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes")


def short_names(results: Mapping[str, Any]) -> dict[str, str]:
    """Return by the name that a results file has for a task, the last part of it, where that is no other task's."""
    tasks = [str(task) for task in results.get("configs") or ()]
    known = Counter(_last(task) for task in tasks)
    taken = {str(name) for name in results.get("results") or () if "::" not in str(name)}
    return {
        task: _last(task) for task in tasks if "::" in task and known[_last(task)] == 1 and _last(task) not in taken
    }


def renamed(results: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a results file holds with the tasks called by other `names`."""
    changed = dict(results)
    for section in BY_TASK:
        if isinstance(results.get(section), dict):
            changed[section] = {names.get(task, task): value for task, value in results[section].items()}
    below = results.get("group_subtasks")
    if isinstance(below, dict):
        changed["group_subtasks"] = {
            names.get(group, group): [names.get(task, task) for task in tasks] if isinstance(tasks, list) else tasks
            for group, tasks in below.items()
        }
    return changed


def _last(name: str) -> str:
    return name.rsplit("::", 1)[-1]
