"""The one place that starts other programs: what they may import, and what of the environment they see.

``python -m`` puts the current folder first among those that modules are imported from, so a `sympy.py` there would
run in place of the library. Children started here look in their own installation and in the user's PYTHONPATH, nowhere
else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files.safety import secrets

# Where this installation's packages lie.
HOME = str(Path(__file__).resolve().parents[2])
# Python before 3.11 has no -P: there sys.path[0] is "" for -c, and is taken away before anything is imported.
_START = (
    "import sys; a = sys.argv; sys.path[:1] = [] if sys.path[:1] == [''] else sys.path[:1]; "
    "[a.pop(1) for _ in (1, 2) if a[1] in ('-u', '-m')]; "
    "import runpy; runpy.run_module(a.pop(1), run_name='__main__', alter_sys=True)"
)
# Where git looks, and what Python does before and after a program: nothing that a child of ours should follow.
_NEVER = ("GIT_", "PYTHONINSPECT", "PYTHONSTARTUP")


def module(name: str, *arguments: str, python: str | None = None) -> list[str]:
    """Return the command that runs a module as ``python -m`` does, but for the current folder, which is not searched.

    Args:
        python: another interpreter, of any version from 3.10 on.
    """
    if python is None and sys.version_info >= (3, 11):
        return [sys.executable, "-m", name, *arguments]  # PYTHONSAFEPATH, see `start`, is its -P
    return [python or sys.executable, "-c", _START, name, *arguments]


def safe_command(command: Sequence[str]) -> list[str]:
    """Return a command of the form ``PYTHON -m MODULE ...`` as `module` would start it; others as they are."""
    if len(command) > 2 and command[1] == "-m":
        own = os.path.abspath(command[0]) == os.path.abspath(sys.executable)
        return module(command[2], *command[3:], python=None if own else command[0])
    return list(command)


def python_prefix() -> list[str]:
    """Return what takes the place of ``python`` in ``python -u -m MODULE ...``, written by somebody else."""
    return [sys.executable, "-P"] if sys.version_info >= (3, 11) else [sys.executable, "-c", _START]


def environment(*, needs: Sequence[str] | None = (), only: Sequence[str] | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a child.

    Args:
        needs: beginnings of the names of variables that it gets although they hold secrets; None: all, for a child
            that does the user's own work and talks to servers in the user's name.
        only: names of variables; left out, all of them.
        more: variables over those.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if (only is None or name in only)
        and not name.startswith(_NEVER)
        and (needs is None or name.startswith(tuple(needs)) or not _secret(name, value))
    }
    found.pop("PYTHONPATH", None)
    if path := python_path():
        found["PYTHONPATH"] = path
    return {**found, "PYTHONSAFEPATH": "1", **more}


def _secret(name: str, value: str) -> bool:
    return secrets.is_secret_name(name) or secrets.has_secret_shape(value)


def python_path() -> str:
    """Return the user's PYTHONPATH, absolute, without empty entries: those mean the current folder by accident."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(os.path.abspath(entry) for entry in given if entry)


def program(name: str) -> str | None:
    """Return the full path of a program, looked for in the absolute folders of PATH only."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(folder for folder in folders if os.path.isabs(folder)))


def _safe(env: Mapping[str, str] | None) -> dict[str, str]:
    return {**(environment() if env is None else env), "PYTHONSAFEPATH": "1"}


def _resolved(command: Sequence[str]) -> list[str]:
    first = command[0]
    if os.path.dirname(first):
        return list(command)
    found = program(first)
    if found is None:
        raise FileNotFoundError(f"there is no program {first!r} in PATH")
    return [found, *command[1:]]


def start(command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """Start a program; `env` is `environment()` unless given. It reads nothing unless `stdin` is given.

    Raises:
        OSError: it cannot be started.
    """
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(_resolved(command), env=_safe(env), **options)


def finish(
    command: Sequence[str], *, seconds: float | None, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its exit status, output and error output as text.

    Raises:
        OSError: it cannot be started. subprocess.TimeoutExpired: it took longer than `seconds`, and was killed.
    """
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        _resolved(command),
        env=_safe(env),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        **options,
    )


def keep_current_folder_out() -> None:
    """Keep this process, and whatever libraries start, from importing from the current folder.

    For a process that was started by ``python -m``; folders in PYTHONPATH, and the one that lmx itself is in, stay.
    """
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    here = os.getcwd()
    asked = {os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    if (
        sys.path
        and sys.path[0] in ("", here)
        and here not in asked
        and os.path.realpath(here) != os.path.realpath(HOME)
    ):
        del sys.path[0]
