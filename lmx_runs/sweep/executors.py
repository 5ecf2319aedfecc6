"""Where arms run. This module: what every executor does, and the one for this machine's own processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

from lmx_runs.sweep.worker import GRACE, LOG


@dataclass(frozen=True)
class Job:
    """A started attempt. `handle` is the executor's own name of it; `outcome` is the file that `worker` leaves."""

    handle: str
    token: str
    outcome: Path


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

    def poll(self, jobs: Mapping[str, Job]) -> dict[str, Report]:
        """Return how the jobs are, under the keys of `jobs`."""

    def stop(self, jobs: Mapping[str, Job]) -> None:
        """End the jobs and wait until they have ended."""


class SubmissionError(Exception):
    """An attempt could not be started; the message is one line."""


def outcome_of(job: Job) -> Report | None:
    """Return how an attempt ended, from the file it left, or `None` if it left none."""
    try:
        outcome = json.loads(job.outcome.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if outcome["token"] != job.token:
        return None
    code, reason = outcome["exit_code"], outcome["reason"]
    if not reason and code < 0:
        reason = f"ended by signal {-code} ({signal.Signals(-code).name})"
    return Report("ended", code, reason, outcome["started"], outcome["ended"], outcome["seconds"])


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
        self._environment = {**os.environ, **share_of_cores(at_once)}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, name: str, description: Path, token: str, settings: Mapping[str, Any]) -> str:
        """Start a worker process; the handle is its number and start time, since numbers are used again."""
        command = [sys.executable, "-m", "lmx_runs.sweep.worker", str(description)]
        try:
            # Not the sweep's own output: a pipe behind a killed sweep must not be held open by what goes on.
            with description.with_name(LOG).open("ab") as log:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=self._environment,
                )
        except OSError as error:
            raise SubmissionError(f"cannot start a process: {error}") from error
        handle = f"{child.pid}:{psutil.Process(child.pid).create_time()}"
        self._children[handle] = child
        return handle

    def find(self, token: str) -> str | None:
        """Return `None`: between starting a process and writing its handle down lie microseconds."""
        return None

    def poll(self, jobs: Mapping[str, Job]) -> dict[str, Report]:
        """Return how the processes are; those of an earlier sweep are watched like one's own."""
        reports = {}
        for key, job in jobs.items():
            alive = self._alive(job.handle)  # asked first: the file may appear while the process ends
            ended = outcome_of(job) or Report("ended", None, "its process was killed")
            reports[key] = Report("running") if alive else ended
        return reports

    def stop(self, jobs: Mapping[str, Job]) -> None:
        """Interrupt the processes as Ctrl-C does, then insist; a `KeyboardInterrupt` meanwhile insists at once."""
        handles = [job.handle for job in jobs.values()]
        for number, seconds in ((signal.SIGINT, GRACE), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            left = [handle for handle in handles if self._alive(handle)]
            for handle in left:
                _signal_group(handle, number)
            try:
                self._wait(left, seconds)
            except KeyboardInterrupt:
                continue

    def _wait(self, handles: Sequence[str], seconds: float) -> None:
        until = time.monotonic() + seconds
        while any(self._alive(handle) for handle in handles) and time.monotonic() < until:
            time.sleep(0.05)

    def _alive(self, handle: str) -> bool:
        child = self._children.get(handle)
        if child is not None:
            return child.poll() is None
        number, _, created = handle.partition(":")
        try:
            process = psutil.Process(int(number))
            same = abs(process.create_time() - float(created)) < 0.1
            return same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, ValueError):
            return False


def _signal_group(handle: str, number: int) -> None:
    """Signal a worker and all it has started; its number is that of its process group."""
    try:
        os.killpg(int(handle.partition(":")[0]), number)
    except (ProcessLookupError, PermissionError):
        return
