"""What a sweep remembers between its runs: one JSON file, written atomically, and a lock on the folder."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from filelock import Timeout
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lmx_files import atomic, opening
from lmx_files.errors import UserError
from lmx_runs.jobs.executors import Time

STATE_FILE = "sweep_state.json"
LOCK_FILE = ".sweep.lock"
Status = Literal["pending", "running", "done", "failed", "skipped", "interrupted"]


# A process with its birth, or a Slurm job: digits, and nothing that a program could take for an option.
_HANDLE = r"^([0-9]{1,10}:[0-9]{1,20}(\.[0-9]{1,9})?|[0-9]{1,19})?$"
_MOST = 1 << 28


def _below(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text:
        raise ValueError("leads out of the sweep's folder")
    return text


class ArmState(BaseModel):
    """Where one arm stands.

    Attributes:
        status: `running` also covers a Slurm job that still waits; `interrupted` was stopped together with its sweep.
        fingerprint: of the settings that `status` is about.
        attempts: how often it was started. `token`: a random name of the last attempt.
        executor, handle: where the last attempt runs, `handle` being a Slurm job or a process.
        exit_code: negative for a signal, as in `subprocess`; `None` if it is not known.
        started, ended: ISO 8601, UTC. `seconds`: between the two.
        command: as it was started. `results`: the results file, relative to the sweep's folder.
        reason: why it failed or was skipped, in one line.
    """

    model_config = ConfigDict(strict=True)

    status: Status = "pending"
    fingerprint: Annotated[str, Field(max_length=64)] = ""
    attempts: Annotated[int, Field(ge=0, le=10**9)] = 0
    token: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    executor: Literal["", "local", "slurm"] = ""
    handle: Annotated[str, Field(pattern=_HANDLE)] = ""
    exit_code: Annotated[int, Field(ge=-(1 << 31), le=1 << 31)] | None = None
    started: Time | None = None
    ended: Time | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    command: list[str] = []
    results: Annotated[str, AfterValidator(_below)] | None = None
    reason: str = ""


class State(BaseModel):
    """The state file. `process`: the sweep that holds, or held, the folder."""

    version: Literal[1] = 1
    process: str = ""
    arms: dict[str, ArmState] = {}

    @classmethod
    def load(cls, folder: Path) -> State:
        """Return the state in a sweep's folder, an empty one if there is none; a damaged file is a `UserError`."""
        path = folder / STATE_FILE
        try:
            return cls.model_validate_json(opening.read_bytes(path, _MOST))
        except FileNotFoundError:
            return cls()
        except (OSError, UserError, ValidationError) as error:
            raise UserError(
                f"cannot read {path}: {_what(error)}. Move the file away to let every arm run again"
            ) from error

    def save(self, folder: Path) -> None:
        """Write the state, so that a reader finds the old file or the new one and nothing between."""
        atomic.write(folder / STATE_FILE, self.model_dump_json(indent=1) + "\n", sync=True)


def _what(error: Exception) -> str:
    """Return what is wrong with a state file, and where in it."""
    if not isinstance(error, ValidationError):
        return getattr(error, "strerror", None) or str(error).rstrip(".")
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step)[:80] for step in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder; a `UserError` names the sweep that holds it already."""
    lock = opening.lock_file(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = State.load(folder).process or "another process"
        raise UserError(
            f"a sweep is running on {folder} already ({holder}). Wait for it, or give this one another --output_path"
        ) from error
    try:
        yield
    finally:
        lock.release()


def this_process() -> str:
    """Return the name of this process for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"
