"""`lmx counting`: sets of counting questions, and what runs of them show."""

from __future__ import annotations

from typing import Any

import typer

from lmx_cli import counting_sets

HELP = "Counting questions: make, validate and clean sets of them."


def build(group: Any) -> typer.Typer:
    """Return the `counting` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, no_args_is_help=True, help=HELP)
    app.command("generate")(counting_sets.generate)
    app.command("validate")(counting_sets.validate)
    app.command("prune")(counting_sets.prune)
    app.callback()(_root)
    return app


def _root() -> None:
    """Hold the group's help, which typer reads from above."""
