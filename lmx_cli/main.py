"""The `lmx` command: its groups of commands, and what a user sees when something is wrong."""

from __future__ import annotations

import importlib.metadata as metadata
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from lmx_cli import counting, data, guide, listing, models, new, plugins, run, sweep
from lmx_cli.analyses import compare, entropy, guided, mediate, perfpred, report, rescore
from lmx_files.errors import UserError, unknown
from lmx_files.safety import children, terminal
from lmx_plugins.guards import error_line, install_excepthook, wants_traceback


class Commands(TyperGroup):
    """A command group whose unknown commands are answered with the nearest one, in one line."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command to run, or raise a `UserError` that names those there are."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise unknown("command", args[0], self.list_commands(ctx), f"See: {ctx.command_path} --help")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Evaluate ways of decoding with lm-evaluation-harness. Plain `lm_eval` finds lmx's models and "
    "tasks by itself; this command adds runs that survive, and what to do with their results.",
)
app.command(
    "run",
    add_help_option=False,  # lm_eval's parser answers --help, with its flags
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)(run.run)
app.command("plugins")(plugins.plugins)
app.command("ls")(listing.ls)
app.command("compare")(compare.compare)
app.command("rescore")(rescore.rescore)
app.command("report")(report.report)
app.command("guided-curve")(guided.guided_curve)
app.command("guided-export")(guided.guided_export)
app.command("guided-stats")(guided.guided_stats)
app.command("entropy", cls=entropy.SeveralValues)(entropy.entropy)
app.command("guide")(guide.guide)
app.command("mediate")(mediate.mediate)
app.command("new")(new.new)
app.command("sweep")(sweep.sweep)
app.add_typer(models.build(Commands), name="models")
app.add_typer(data.build(Commands), name="data")
app.add_typer(counting.build(Commands), name="counting")
app.add_typer(perfpred.build_app(Commands), name="perfpred")


def _version(asked: bool) -> None:
    if asked:
        python = sys.version.split()[0]
        terminal.say(f"lmx {_installed('lmx-eval')} (lm_eval {_installed('lm_eval')}, Python {python})")
        raise typer.Exit


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
) -> None:
    """Hold the options of `lmx` itself; typer reads them from this signature."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 2."""
    children.keep_current_folder_out()
    terminal.tolerant_output()
    install_excepthook()
    try:
        status = app(prog_name="lmx", standalone_mode=False)
    except UserError as error:
        if wants_traceback():
            raise
        print(error_line(error), file=sys.stderr)
        sys.exit(2)
    except typer.Abort:
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer says of a command line, wherever its click lives
            raise
        _refuse(error)
    sys.exit(status if isinstance(status, int) else 0)


def _refuse(error: Any) -> NoReturn:
    """Tell in one line what is wrong with a command line; without any argument there is help instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "lmx"
        print(error_line(UserError(f"{error.format_message().rstrip('.')}. See: {command} --help")), file=sys.stderr)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
