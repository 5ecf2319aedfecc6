"""The flags of an arm's run: lm_eval's own, checked as `lmx run` checks them, before anything starts."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lmx_files.errors import UserError
from lmx_files.safety import secrets
from lmx_runs.jobs.slurm import MEND, check_setup_line
from lmx_runs.options import parse

# What runs one arm: `lmx run`, with the arm's own interpreter.
RUN = ("-m", "lmx_cli.main", "run")
# What the sweep decides itself, with the mend.
RESERVED = {
    "output_path": "every arm gets a folder of its own below the sweep's output_path",
    "config": "write its lines under the arm, or under defaults",
    "log_samples": "samples are always kept",
}
# lm_eval takes this one as true when it is left out beside --apply_chat_template.
_EXPLICIT_FALSE = frozenset({"fewshot_as_multiturn"})


@functools.cache
def _actions() -> tuple[argparse.Action, ...]:
    from lm_eval._cli.run import Run

    return tuple(Run(argparse.ArgumentParser().add_subparsers())._parser._actions)


@functools.cache
def names() -> frozenset[str]:
    """Return the long names of lm_eval's flags, without dashes."""
    return frozenset(action.dest for action in _actions() if action.dest != "help")


@functools.cache
def dict_names() -> frozenset[str]:
    """Return the flags whose values are mappings, e.g. ``model_args``."""
    return frozenset(action.dest for action in _actions() if type(action).__name__ == "MergeDictAction")


def to_argv(flags: Mapping[str, Any]) -> list[str]:
    """Return the flags as command-line arguments; `None` and `False` leave a flag out.

    Mappings go as JSON, which lm_eval reads too, so that every value keeps its type whatever characters it has.
    """
    argv: list[str] = []
    for name, value in flags.items():
        if value is None or (value is False and name not in _EXPLICIT_FALSE):
            continue
        argv.append(f"--{name}")
        if isinstance(value, Mapping):
            argv.append(json.dumps(value, ensure_ascii=False))
        elif isinstance(value, (list, tuple)):
            argv.append(",".join(str(item) for item in value))
        elif value is not True:
            argv.append(str(value).lower() if value is False else str(value))
    return argv


def check(flags: Mapping[str, Any]) -> None:
    """Raise a `UserError` unless `lmx run` takes these flags, they name a model and tasks, and hold no secret."""
    for name in dict_names() & flags.keys():
        entries = {} if flags[name] is None else flags[name]
        if not isinstance(entries, Mapping):
            raise UserError(f"{name} must be a mapping of names to values, for example {{pretrained: tiny-base}}")
        secrets.refuse(entries, name, MEND)
    for name, example in (("model", "model: ar"), ("tasks", "tasks: [constraint_tiny]")):
        if not flags.get(name):
            raise UserError(f"no {name}: give it under the arm or under defaults, for example {example}")
    parse(to_argv(flags))


def check_variable(name: str, value: Any) -> None:
    """Raise a `UserError` for an environment variable whose value must not be written to files, or that cannot be."""
    if not name or "=" in name or not name.isprintable():
        raise UserError(f"env.{name!r} is no name of a variable: give letters, digits and _")
    secrets.refuse({name: value}, "env", MEND)


def refuse_secrets(data: Mapping[str, Any]) -> None:
    """Raise a `UserError` for a secret anywhere in a sweep file: all of it is written into the sweep's folder.

    Shell lines of Slurm jobs are read by `check_setup_line`.
    """
    shell = ("setup", "teardown")
    for where in (data, data.get("defaults"), *(data.get("arms") or [])):
        slurm = where.get("slurm") if isinstance(where, Mapping) else None
        for key in shell:
            lines = slurm.get(key) if isinstance(slurm, Mapping) else None
            for line in lines if isinstance(lines, list) else []:
                check_setup_line(str(line))
    for name, value in data.items():
        if name == "slurm" and isinstance(value, Mapping):
            value = {key: item for key, item in value.items() if key not in shell}
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            kept = entry
            if isinstance(entry, Mapping) and isinstance(entry.get("slurm"), Mapping):
                slurm = {key: item for key, item in entry["slurm"].items() if key not in shell}
                kept = {**entry, "slurm": slurm}
            secrets.refuse(kept, str(name), MEND)


def command(python: str, flags: Mapping[str, Any], output_path: str) -> list[str]:
    """Return the command of one arm."""
    run: Sequence[str] = RUN
    return [python, *run, *to_argv(flags), "--output_path", output_path]
