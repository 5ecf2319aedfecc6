"""`lmx perfpred weight-diff`: models published as differences from a base."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lmx_files.errors import UserError
from lmx_files.safety import terminal

Base = Annotated[Path, typer.Option(help="Folder of the base model, with *.safetensors.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for what is written.")]
HELP = "Make the difference of a model from its base, or get the model back from one."


def build_app(group: Any) -> typer.Typer:
    """Return the `weight-diff` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, no_args_is_help=True, help=HELP)
    app.command("make")(make)
    app.command("recover")(recover)
    app.callback()(_root)
    return app


def _root() -> None:
    """Hold the group's help, which typer reads from above."""


def make(
    model: Annotated[Path, typer.Argument(help="Folder of the model, with *.safetensors.")], base: Base, output: Output
) -> None:
    """Write MODEL minus BASE, bit by bit, with checksums of both; run again to go on after an interruption."""
    from lmx_predictors import weight_diff

    with _progress() as told:
        made = weight_diff.make(model, base, output, told)
    whole = f"; {len(made.whole)} tensors, which the base lacks, are whole" if made.whole else ""
    terminal.say(f"{output} ({len(made.shards)} files of weights, {weight_diff.MANIFEST}{whole})")


def recover(
    diff: Annotated[Path, typer.Argument(help="Folder of the difference.")],
    base: Base,
    output: Output,
    published: Annotated[
        bool, typer.Option("--published", help="The difference is numbers to add, as most models publish theirs.")
    ] = False,
    total: Annotated[
        float | None, typer.Option("--sum", help="With --published: what all weights must add up to.")
    ] = None,
) -> None:
    """Write the model that DIFF was made of, after checking that BASE is the very base; checked by SHA-256."""
    from lmx_predictors import weight_diff

    if total is not None and not published:
        raise UserError("--sum is for --published: other differences have SHA-256 checksums, which are always checked")
    with _progress() as told:
        if published:
            found = weight_diff.recover_published(diff, base, output, total, told)
            checked = "not checked, as no --sum was given" if total is None else "as it should be"
            terminal.say(f"{output}: the weights add up to {found:.6g} ({checked})")
            return
        made = weight_diff.recover(diff, base, output, told)
    terminal.say(f"{output} ({len(made.shards)} files of weights, each with the SHA-256 of the model's own)")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show on a terminal what is being read; cleared at the end."""
    shown = sys.stderr.isatty()

    def tell(what: str, number: int, total: int) -> None:
        if shown:
            print(f"\r\033[K{number + 1}/{total} {what[:60]}", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr)
