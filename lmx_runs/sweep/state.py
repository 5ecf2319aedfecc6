"""What a sweep remembers between its runs: one JSON file, written atomically, and a lock on the folder."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from lmx_files import atomic
from lmx_plugins.errors import UserError

STATE_FILE = "sweep_state.json"
LOCK_FILE = ".sweep.lock"
Status = Literal["pending", "running", "done", "failed", "skipped", "interrupted"]


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

    status: Status = "pending"
    fingerprint: str = ""
    attempts: int = 0
    token: str = ""
    executor: str = ""
    handle: str = ""
    exit_code: int | None = None
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    command: list[str] = []
    results: str | None = None
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
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise UserError(
                f"cannot read {path}: {str(error).splitlines()[0]}. Move the file away to let every arm run again"
            ) from error

    def save(self, folder: Path) -> None:
        """Write the state, so that a reader finds the old file or the new one and nothing between."""
        atomic.write(folder / STATE_FILE, self.model_dump_json(indent=1) + "\n", sync=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder; a `UserError` names the sweep that holds it already."""
    lock = FileLock(folder / LOCK_FILE)
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
