"""`lmx models`: short names of models, and getting their weights onto this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lmx_cli.output import show
from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal


def build(group: Any) -> typer.Typer:
    """Return the `models` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, help="List, fetch and find the models that have a short name.")
    app.callback(invoke_without_command=True)(models)
    app.command("fetch")(fetch)
    app.command("path")(path)
    return app


def models(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the short names: what they are, and where their weights are or would come from."""
    if context.invoked_subcommand is not None:
        return
    rows = [
        {
            "name": entry.name,
            "available": entry.available,
            "MB": entry.size_mb,
            "license": entry.license,
            "source": entry.source,
            "description": entry.description,
        }
        for entry in _entries().values()
    ]
    show(rows, as_json, "no models are known")


def fetch(name: Annotated[str, typer.Argument(help="A short name from `lmx models`.")]) -> None:
    """Get a model's weights onto this machine and print where they are."""
    _known(name)
    from lmx_models.zoo import catalogue

    terminal.say(catalogue.fetch(name))


def path(name: Annotated[str, typer.Argument(help="A short name from `lmx models`.")]) -> None:
    """Print where a model's weights are; nothing is downloaded."""
    entry = _known(name)
    if entry.available not in ("shipped", "cached"):
        raise UserError(f"model {name!r} is not on this machine yet. Get it with: lmx models fetch {name}")
    from lmx_models.zoo import catalogue

    terminal.say(catalogue.fetch(name))


def _entries() -> dict[str, Any]:
    from lmx_models.zoo import catalogue

    return {entry.name: entry for entry in catalogue.list_models()}


def _known(name: str) -> Any:
    entries = _entries()
    if name not in entries:
        raise unknown("model", name, entries, "See: lmx models")
    return entries[name]
