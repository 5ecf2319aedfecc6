"""`lmx plugins`: which plugins are installed, and whether lm_eval will see them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lmx_cli.output import show


def plugins(
    check: Annotated[bool, typer.Option("--check", help="Import each plugin and report the broken ones.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed plugins: models, tasks, metrics, filters and aggregations.

    Nothing is imported unless --check is given; then the exit status is 1 when a plugin is broken.
    """
    from lmx_plugins.discovery import GROUPS
    from lmx_plugins.status import statuses

    found = statuses(check=check)
    rows: list[dict[str, Any]] = [
        {
            "group": GROUPS[plugin.kind],
            "name": plugin.name,
            "target": plugin.target,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": status.text,
        }
        for plugin, status in found
    ]
    show(rows, as_json, "no plugins are installed")
    if check and any(status.broken for _, status in found):
        raise typer.Exit(1)
