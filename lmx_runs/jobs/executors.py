"""Where arms run. This module: what every executor does, and the one for this machine's own processes."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import psutil
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lmx_files import opening
from lmx_files.errors import UserError
from lmx_files.safety import children
from lmx_runs.jobs.worker import ATTEMPT, GRACE, LOG, MODULE

_MOST = 1 << 20
"""Bytes of an outcome; a larger file is none."""


def _time(text: str) -> str:
    if datetime.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("is no time with an offset from UTC")
    return text


Time = Annotated[str, AfterValidator(_time)]


@dataclass(frozen=True)
class Job:
    """A started attempt. `handle` is the executor's own name of it; `outcome` is the file that `worker` leaves."""

    handle: str
    token: str
    outcome: Path

    @property
    def description(self) -> Path:
        """The file that the worker was started with."""
        return self.outcome.with_name(ATTEMPT)


@dataclass(frozen=True)
class Report:
    """What is known of a job: `exit_code` and the rest only once it has ended, and `None` where nobody can tell."""

    state: Literal["waiting", "running", "ended"]
    exit_code: int | None = None
    reason: str = ""
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None


class Executor(Protocol):
    """Starts attempts and tells how they are; jobs outlive the sweep and are found again by their handles."""

    name: str
    # Whether jobs go on by themselves when a sweep is interrupted, instead of being stopped with it.
    detached: bool

    def submit(self, name: str, description: Path, token: str, settings: Mapping[str, Any]) -> str:
        """Start the attempt that a file describes and return its handle; raise `SubmissionError` if that fails."""

    def find(self, token: str) -> str | None:
        """Return the handle of an attempt whose sweep was killed before it could write the handle down."""

    def ours(self, job: Job) -> bool:
        """Whether a job that a state file names may be one of ours; whoever wrote the file may have named another."""

    def poll(self, jobs: Mapping[str, Job]) -> dict[str, Report]:
        """Return how the jobs are, under the keys of `jobs`."""

    def stop(self, jobs: Mapping[str, Job]) -> None:
        """End those of the jobs that are ours beyond doubt, and wait until they have ended."""


class SubmissionError(Exception):
    """An attempt could not be started; the message is one line."""


class _Outcome(BaseModel):
    """What `worker` leaves."""

    model_config = ConfigDict(strict=True)

    token: str
    exit_code: Annotated[int, Field(ge=-64, le=1 << 31)]
    reason: str
    started: Time | None
    ended: Time | None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


def outcome_of(job: Job) -> Report | None:
    """Return how an attempt ended, from the file it left, or `None` if it left none that can be read."""
    try:
        outcome = _Outcome.model_validate_json(opening.read_bytes(job.outcome, _MOST))
    except (OSError, UserError, ValidationError):
        return None
    if outcome.token != job.token:
        return None
    code, reason = outcome.exit_code, outcome.reason
    if not reason and code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        reason = f"ended by signal {-code}{known.get(-code, '')}"
    return Report("ended", code, reason, outcome.started, outcome.ended, outcome.seconds)


def cores() -> int:
    """Return the number of cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def share_of_cores(at_once: int) -> dict[str, str]:
    """Return the variables by which each of `at_once` arms computes on its own share of the cores.

    torch takes a thread for every core, and arms that do so side by side mostly wait for one another. A number that is
    set already is left alone.
    """
    if at_once == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores() // at_once))}


class LocalExecutor:
    """Runs arms as processes of this machine, each in a session of its own, so that Ctrl-C reaches them only once.

    `at_once` is how many arms run side by side, at most.
    """

    name = "local"
    detached = False

    def __init__(self, at_once: int = 1) -> None:
        self._environment = children.environment(needs=None, **share_of_cores(at_once))
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, name: str, description: Path, token: str, settings: Mapping[str, Any]) -> str:
        """Start a worker process; the handle is its number and its birth, since numbers are used again."""
        command = children.module(MODULE, str(description))
        try:
            # Not the sweep's own output: a pipe behind a killed sweep must not be held open by what goes on.
            with opening.open_log(description.with_name(LOG)) as log:
                child = children.start(command, stdout=log, stderr=log, start_new_session=True, env=self._environment)
        except (OSError, UserError) as error:
            raise SubmissionError(f"cannot start a process: {error}") from error
        handle = f"{child.pid}:{_birth(child.pid)}"
        self._children[handle] = child
        return handle

    def find(self, token: str) -> str | None:
        """Return `None`: between starting a process and writing its handle down lie microseconds."""
        return None

    def ours(self, job: Job) -> bool:
        """Return True: a process counts as alive only if it is our worker, and no other is ever signalled."""
        return True

    def poll(self, jobs: Mapping[str, Job]) -> dict[str, Report]:
        """Return how the processes are; those of an earlier sweep are watched like one's own."""
        reports = {}
        for key, job in jobs.items():
            alive = self._alive(job)  # asked first: the file may appear while the process ends
            ended = outcome_of(job) or Report("ended", None, "its process was killed")
            reports[key] = Report("running") if alive else ended
        return reports

    def stop(self, jobs: Mapping[str, Job]) -> None:
        """Interrupt the processes as Ctrl-C does, then insist; a `KeyboardInterrupt` meanwhile insists at once."""
        for number, seconds in ((signal.SIGINT, GRACE), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            left = [job for job in jobs.values() if self._alive(job)]
            for job in left:
                _signal_group(job.handle, number)
            try:
                self._wait(left, seconds)
            except KeyboardInterrupt:
                continue

    def _wait(self, jobs: Sequence[Job], seconds: float) -> None:
        until = time.monotonic() + seconds
        while any(self._alive(job) for job in jobs) and time.monotonic() < until:
            time.sleep(0.05)

    def _alive(self, job: Job) -> bool:
        child = self._children.get(job.handle)
        if child is not None:
            return child.poll() is None
        number, _, birth = job.handle.partition(":")
        return number.isdecimal() and _is_worker(int(number), birth, job.description)


def _is_worker(pid: int, birth: str, description: Path) -> bool:
    """Whether a process is the worker of this very attempt: its command line, its owner, its group and its birth.

    A handle comes from a file, so the number may be that of any process; and by the clock that users read alone
    (psutil's `create_time`), a process changes its age when that clock is set.
    """
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        ours = MODULE in command and str(description) in command[command.index(MODULE) :]
        if not ours or process.uids().real != os.getuid() or os.getpgid(pid) != pid:
            return False
        same = "." in birth or birth == _birth(pid)  # former versions wrote a time with a fraction
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError, OverflowError):
        return False


def _birth(pid: int) -> str:
    """Return when a process was started, by a clock that nobody sets: ticks since the machine's start."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return str(round(psutil.Process(pid).create_time()))  # where there is no /proc, it is kept as it was


def _signal_group(handle: str, number: int) -> None:
    """Signal a worker and all it has started; its number is that of its process group."""
    try:
        os.killpg(int(handle.partition(":")[0]), number)
    except (ProcessLookupError, PermissionError):
        return
