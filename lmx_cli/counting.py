"""`lmx counting`: sets of counting questions, and what runs of them show."""

from __future__ import annotations

from typing import Any

import typer

from lmx_cli.analyses import counting

HELP = "Counting questions: what runs of the category_counting tasks show."


def build(group: Any) -> typer.Typer:
    """Return the `counting` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, no_args_is_help=True, help=HELP)
    app.command("report")(counting.report)
    app.callback()(_root)
    return app


def _root() -> None:
    """Hold the group's help, which typer reads from above."""
