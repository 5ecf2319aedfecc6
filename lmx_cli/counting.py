"""`lmx counting`: sets of counting questions, and what runs of them show."""

from __future__ import annotations

from typing import Any

import typer

from lmx_cli import counting_sets
from lmx_cli.analyses import counting

HELP = (
    "Counting questions: sets of them made, validated and cleaned, and what runs of the category_counting tasks show."
)


def build(group: Any) -> typer.Typer:
    """Return the `counting` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, no_args_is_help=True, help=HELP)
    app.command("generate")(counting_sets.generate)
    app.command("validate")(counting_sets.validate)
    app.command("prune")(counting_sets.prune)
    app.command("report")(counting.report)
    app.callback()(_root)
    return app


def _root() -> None:
    """Hold the group's help, which typer reads from above."""
