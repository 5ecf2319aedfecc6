"""What was asked for: lm_eval's own flags, read by lm_eval's own parser, and those that `lmx run` adds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lmx_files.errors import UserError, unknown
from lmx_files.safety import secrets
from lmx_files.yaml import read_yaml
from lmx_runs import lm_eval_flags

DEFAULT_OUTPUT = "results"


class _Parser(argparse.ArgumentParser):
    """Answers mistakes with one line."""

    def error(self, message: str) -> NoReturn:
        # argparse names the function that reads a value, which lm_eval's flags have
        message = re.sub(r"invalid (functools\.partial\(.*\)|_\w+) value:", "invalid value:", message)
        raise UserError(f"{message}. See: lmx run --help")


@dataclass(frozen=True)
class Options:
    """One `lmx run`.

    Attributes:
        lm_eval: the namespace that lm_eval's command takes.
        output_path: where results go. `journal`: where finished requests are kept; None for no journal.
        resume: True: there must be something to go on from; False: take what there is.
        tasks: as given.
        include_path: further folders of tasks.
        model: the `--model`.
    """

    lm_eval: argparse.Namespace
    output_path: Path
    journal: Path | None
    resume: bool
    tasks: tuple[str, ...]
    include_path: tuple[Path, ...]
    model: str


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line.

    Raises:
        UserError: an unknown flag (with the nearest valid one), a bad value, or a secret among the model arguments.
    """
    parser = _Parser(prog="lmx")
    run = _add_run(parser)
    given, rest = parser.parse_known_args(["run", *arguments])
    if rest:
        flags = [flag for action in run._actions for flag in action.option_strings if flag.startswith("--")]
        name = rest[0].partition("=")[0]
        if not name.startswith("-"):
            raise UserError(f"unexpected argument {rest[0]!r}: flags begin with --. See: lmx run --help")
        raise unknown("flag", name, flags, "See: lmx run --help")
    config = _read_config(given.config) if given.config else {}

    def value(name: str) -> Any:
        chosen = getattr(given, name, None)
        return config.get(name) if chosen is None or chosen == [] else chosen

    _refuse_secrets({**config, **{name: one for name, one in vars(given).items() if one is not None}})
    lm_eval_flags.check(given, value)
    given.output_path = value("output_path") or DEFAULT_OUTPUT
    given.log_samples = True
    output = Path(given.output_path)
    folder = output.parent if output.suffix == ".json" else output
    journal = Path(given.journal) if given.journal else folder / "journal"
    options = Options(
        lm_eval=given,
        output_path=output,
        journal=None if given.no_journal else journal,
        resume=given.resume,
        tasks=tuple(_names(value("tasks"))),
        include_path=tuple(Path(path) for path in _names(value("include_path"))),
        model=str(value("model") or "hf"),
    )
    given.tasks = list(options.tasks)  # without empty names, which lm_eval looks for
    for name in ("journal", "no_journal", "resume"):
        delattr(given, name)
    if not options.tasks:
        raise UserError("no tasks: give --tasks NAME[,NAME...]; `lmx ls tasks` and `lm_eval ls tasks` list them")
    if options.resume and options.journal is None:
        raise UserError("--resume needs the journal: leave out --no_journal")
    return options


def _add_run(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add lm_eval's own `run` command to `parser`, with the flags of `lmx run`."""
    from lm_eval._cli.run import Run

    commands = parser.add_subparsers(dest="command", parser_class=_Parser)
    Run.create(commands)
    run: argparse.ArgumentParser = commands.choices["run"]
    run.prog, run.usage, run.epilog = "lmx run", "lmx run --model MODEL --tasks TASKS [flags of lm_eval] [flags]", None
    group = run.add_argument_group("lmx run")
    group.add_argument(
        "--journal",
        metavar="<dir>",
        help="Folder that keeps every finished request, so that a run that dies goes on where it was when it is "
        "started again. Default: journal/ in the output path, which is results/ unless --output_path is given",
    )
    group.add_argument("--no_journal", action="store_true", help="Keep no journal, and take nothing from one")
    group.add_argument(
        "--resume", action="store_true", help="Go on from the journal, and fail if there is nothing to go on from"
    )
    return run


def _read_config(path: str) -> dict[str, Any]:
    config = read_yaml(path, f"--config {path}")
    if not isinstance(config, dict):
        raise UserError(f"--config {path} holds no settings: write `model: ...`, `tasks: [...]`, one a line")
    return config


def _names(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return [name for one in values for name in str(one).split(",") if name]


def _refuse_secrets(arguments: Mapping[str, Any]) -> None:
    """Refuse a secret in whatever an argument holds: all of them are written into the results and the manifest."""
    for name, value in arguments.items():
        # Of a single text, as a prompt or a path is one, only the shape tells; `model_args` may be given as text.
        prose = isinstance(value, str) and name not in ("model_args", "gen_kwargs", "metadata")
        told = (name if secrets.is_secret(name, value) else None) if prose else secrets.find(value, name)
        if told is None:
            continue
        leaf = told.rpartition(".")[2]
        raise UserError(
            f"{name}: {leaf!r} looks like a secret, and arguments are written into the results: "
            "export it as an environment variable instead (OPENAI_API_KEY, HF_TOKEN, WANDB_API_KEY, ...)"
        )
