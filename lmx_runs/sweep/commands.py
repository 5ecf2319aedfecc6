"""Arms that are commands: any program with its arguments, instead of a run of lm_eval."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.safety import secrets
from lmx_runs.jobs.slurm import MEND

# `{matrix.KEY}` in a command, its outputs and its variables.
_VALUE = re.compile(r"\{matrix\.(?P<key>[^{}]*)\}")
_FLAG = re.compile(r"--?(?P<name>[A-Za-z][\w-]*)")


def check(command: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise a `UserError` for a command that holds a secret, or outputs that lie outside the arm's folder."""
    for flag, value in itertools.pairwise(command):
        if (match := _FLAG.fullmatch(flag)) and secrets.is_secret(match["name"], value):
            raise UserError(f"command: {flag} is followed by what looks like a secret: {MEND}")
    for argument in command:
        name, equals, value = argument.lstrip("-").partition("=")
        if equals and secrets.is_secret(name, value):
            raise UserError(f"command: {name}= looks like a secret: {MEND}")
        secrets.refuse(argument, "command", MEND)
    for output in outputs:
        if not output or Path(output).is_absolute() or ".." in Path(output).parts:
            raise UserError(f"outputs: {output!r} must be a path below the arm's folder, such as scores.csv")


def filled(text: str, settings: Mapping[str, Any]) -> str:
    """Return `text` with the values of the arm's combination in the place of ``{matrix.KEY}``."""

    def value(match: re.Match[str]) -> str:
        if match["key"] not in settings:
            raise unknown("key in {matrix.KEY}", match["key"], settings, "Give it under matrix")
        return as_text(settings[match["key"]])

    return _VALUE.sub(value, text)


def as_text(value: Any) -> str:
    """Return a value of the file as an argument: numbers as they are written, lists with commas."""
    if isinstance(value, list):
        return ",".join(as_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def resolved(command: Sequence[str], python: str) -> list[str]:
    """Return a command with its program's full path; ``lmx`` and ``python`` are those of the arm's interpreter.

    Raises:
        UserError: there is no such program.
    """
    program, *arguments = command
    if program == "lmx":
        return [python, "-m", "lmx_cli.main", *arguments]
    if program in ("python", "python3"):
        return [python, *arguments]
    found = shutil.which(Path(program).expanduser())
    if found is None:
        raise UserError(f"there is no program {program!r}: give its full path, or lmx or python")
    return [str(Path(found).absolute()), *arguments]


def missing(folder: Path, outputs: Sequence[str]) -> list[str]:
    """Return which outputs are not in an arm's folder: files, or folders with something in them."""
    return [name for name in outputs if not _is_there(folder / name)]


def _is_there(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))
