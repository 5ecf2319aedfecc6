"""`lmx ls`: the tasks, models and metrics that plugins add to lm_eval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from lmx_cli.output import show
from lmx_files.errors import unknown

Rows = list[dict[str, Any]]


def ls(
    what: Annotated[str | None, typer.Argument(help="tasks, models or metrics; all three if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what lmx and other plugins add to lm_eval, in an instant.

    lm_eval's own tasks are not listed; `lm_eval ls tasks` lists all of them, which takes it several seconds.
    """
    if what is not None and what not in KINDS:
        raise unknown("kind", what, KINDS, "For example: lmx ls tasks")
    kinds = [what] if what else list(KINDS)
    if as_json and what is None:
        rows = [{"section": kind, **row} for kind in kinds for row in KINDS[kind]()]
        show(rows, True, "")
        return
    for kind in kinds:
        show(KINDS[kind](), as_json, f"no plugin adds {kind}", title=None if what else f"\n{kind}")


def _tasks() -> Rows:
    from lmx_plugins.task_files import task_files

    return [
        {
            "name": t.name,
            "kind": t.kind,
            "output": t.output_type,
            "from": _origin(t.plugin),
            "file": str(t.path),
        }
        for t in task_files()
    ]


def _models() -> Rows:
    from lmx_plugins.status import statuses

    return [
        {"name": plugin.name, "class": plugin.target, "from": _origin(plugin), "status": status.text}
        for plugin, status in statuses()
        if plugin.kind == "models"
    ]


def _metrics() -> Rows:
    """Metrics that any task may use by name, then those that plugins' tasks compute for themselves."""
    from lmx_plugins.status import statuses
    from lmx_plugins.task_files import task_files

    users: dict[str, set[str]] = {}
    origins: dict[str, set[str]] = {}
    for plugin, _ in statuses():
        if plugin.kind == "metrics":
            users.setdefault(plugin.name, set())
            origins.setdefault(plugin.name, set()).add(_origin(plugin))
    for task in task_files():
        for metric in task.metrics:
            users.setdefault(metric, set()).add(task.name)
            origins.setdefault(metric, set()).add(_origin(task.plugin))
    return [
        {"name": name, "tasks": ", ".join(sorted(users[name])), "from": ", ".join(sorted(origins[name]))}
        for name in sorted(users)
    ]


def _origin(plugin: Any) -> str:
    return f"{plugin.distribution} {plugin.version}"


KINDS: dict[str, Callable[[], Rows]] = {"tasks": _tasks, "models": _models, "metrics": _metrics}
