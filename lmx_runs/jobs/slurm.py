"""Runs arms as Slurm jobs, through submitit.

An arm is submitted when all it needs is done, not with Slurm's `afterok`: a dependant of a failed job would wait in the
queue for ever where the site does not cancel such jobs, a need that an earlier sweep has finished is no job any more,
and an arm that did not fail but left no results would count as fine.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.safety import children, secrets
from lmx_runs.jobs.executors import Job, Report, SubmissionError, outcome_of
from lmx_runs.jobs.worker import Attempt

# What the sweep sets itself: an arm is one job of one task, found again by its comment.
_OURS = frozenset({"job_name", "comment", "nodes", "ntasks_per_node", "array_parallelism", "stderr_to_stdout"})
_RUNNING = frozenset({"RUNNING", "COMPLETING"})
_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"})
_PAUSED = frozenset({"SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"})
_NOT_ENDED = _RUNNING | _WAITING | _PAUSED
# Whole numbers among the settings, with submitit's defaults.
_NUMBERS = (
    ("time", 5, "minutes"),
    ("signal_delay_s", 90, "seconds"),
    ("max_num_timeout", 3, "the times a job may reach its limit and go on"),
)
# Seconds by which Slurm may announce a time limit too early (man sbatch, --signal).
_ANNOUNCED_EARLY = 60
# Seconds between two questions to Slurm; outcomes are seen sooner, from the files that jobs leave.
_ASK_EVERY = 10.0
# Seconds that a finished job's outcome may take to appear on a shared file system.
_PATIENCE = 15.0


MEND = "leave it out and export it in your shell: arms inherit the environment"


def check_setup_line(line: str) -> None:
    """Raise a `UserError` for a shell line that sets a secret."""
    for name in re.findall(r"\b([A-Za-z_]\w*)=", line):
        if secrets.is_secret_name(name):
            raise UserError(f"slurm.setup sets {name}, which looks like a secret: {MEND}")
    secrets.refuse(line, "slurm.setup", MEND)


class SlurmExecutor:
    """Submits and watches Slurm jobs, named after `sweep` and their arms; all nodes must see `folder`."""

    name = "slurm"
    detached = True

    def __init__(self, folder: Path, sweep: str) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError("executor: slurm needs submitit. Install it with: pip install 'lmx-eval[slurm]'") from error
        for program in ("sbatch", "srun", "squeue", "scancel"):
            if children.program(program) is None:
                raise UserError(
                    f"executor: slurm needs the program {program!r}, which is not on this machine: run the sweep on a "
                    "login node of the cluster, or with --executor local"
                )
        logging.getLogger("submitit").setLevel(logging.ERROR)
        self._submitit: Any = submitit
        self._folder = folder
        self._sweep = sweep
        self._states: dict[str, str] = {}
        self._asked = float("-inf")
        # Whether Slurm has answered since the last submission, so that a job it does not name is really gone.
        self._answered = False
        self._gone_since: dict[str, float] = {}
        self._submitted: set[str] = set()

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise a `UserError` for a setting that submitit does not know or of the wrong type."""
        for key in settings:
            valid = {*self._submitit.SlurmExecutor._valid_parameters(), "max_num_timeout"} - _OURS
            if key not in valid:
                raise unknown("slurm setting", key, valid)
        numbers = {}
        for key, default, what in _NUMBERS:
            value = numbers[key] = settings.get(key, default)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise UserError(f"slurm.{key} is {value!r}: give a whole number ({what})")
        early = numbers["signal_delay_s"] + _ANNOUNCED_EARLY
        if 60 * numbers["time"] <= early:
            raise UserError(
                f"slurm.time is {numbers['time']} min: arms are asked to stop signal_delay_s="
                f"{numbers['signal_delay_s']} s before it ends, or up to a minute earlier, which would be at once. "
                f"Give at least {early // 60 + 1} min, or a smaller signal_delay_s"
            )
        for key in ("setup", "teardown"):
            lines = settings.get(key) or []
            if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
                raise UserError(f"slurm.{key} must be a list of shell commands, for example ['module load cuda']")
            for line in lines:
                check_setup_line(line)
        try:
            self._configured("check", "", settings)
        except (TypeError, ValueError) as error:
            raise UserError(f"slurm: {' '.join(str(error).split())}") from error

    def submit(self, name: str, description: Path, token: str, settings: Mapping[str, Any]) -> str:
        """Submit a job; the handle is its number."""
        utils = self._submitit.core.utils
        before = os.umask(0o077)  # what submitit writes for the job is for its owner alone
        try:
            job = self._configured(name, token, settings).submit(Attempt(str(description)))
        except (utils.FailedJobError, utils.FailedSubmissionError, OSError) as error:
            lines = [line for line in str(error).splitlines() if "sbatch:" in line] or str(error).splitlines()
            raise SubmissionError(" ".join(" ".join(lines).split())) from error
        finally:
            os.umask(before)
        self._submitted.add(str(job.job_id))
        self._asked, self._answered = float("-inf"), False
        return str(job.job_id)

    def find(self, token: str) -> str | None:
        """Return the job that carries this token as its comment."""
        found = (line.split("|", 1) for line in self._listed("%i|%k"))
        return next((job for job, comment in found if token and comment == token and job.isdecimal()), None)

    def ours(self, job: Job) -> bool:
        """Whether a job bears this attempt's token, or has left the queue; another one is not watched or cancelled."""
        if job.handle in self._submitted:
            return True
        comments = dict(line.split("|", 1) for line in self._listed("%i|%k"))
        return job.handle not in comments or comments[job.handle] == (job.token or None)

    def poll(self, jobs: Mapping[str, Job]) -> dict[str, Report]:
        """Return how the jobs are: ended if they left an outcome, else what Slurm says, asked at most every 10 s."""
        if jobs and time.monotonic() - self._asked > _ASK_EVERY:
            lines = self._squeue("%i|%T")
            self._asked = time.monotonic()
            self._answered = lines is not None
            if lines is not None:
                self._states = dict(line.split("|", 1) for line in lines)
        return {key: outcome_of(job) or self._without_outcome(job) for key, job in jobs.items()}

    def stop(self, jobs: Mapping[str, Job]) -> None:
        """Cancel the jobs, and wait a little for their processes to end."""
        numbers = [job.handle for job in jobs.values() if job.handle.isdecimal() and self.ours(job)]
        if not numbers:
            return
        try:
            children.finish(["scancel", *numbers], seconds=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(
                f"scancel does not work ({error}). Cancel the jobs later: scancel {' '.join(numbers)}"
            ) from error
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            listed = dict(line.split("|", 1) for line in self._squeue("%i|%T") or [])
            if not any(listed.get(number) in _NOT_ENDED for number in numbers):
                return
            time.sleep(0.5)

    def _configured(self, name: str, token: str, settings: Mapping[str, Any]) -> Any:
        options = dict(settings)
        timeouts = options.pop("max_num_timeout", 3)
        executor = self._submitit.SlurmExecutor(
            self._folder, max_num_timeout=timeouts, python=shlex.join(children.python_prefix())
        )
        executor.update_parameters(**options, job_name=f"{self._sweep}-{name}", comment=token)
        return executor

    def _without_outcome(self, job: Job) -> Report:
        state = self._states.get(job.handle)
        if state in _NOT_ENDED or not self._answered:
            self._gone_since.pop(job.handle, None)
            return Report("running" if state in _RUNNING else "waiting")
        now = time.monotonic()
        if now - self._gone_since.setdefault(job.handle, now) < _PATIENCE:
            return Report("running")
        ended = state or self._accounted(job.handle) or "no longer in the queue"
        log = self._folder / f"{job.handle}_0_log.err"
        return Report("ended", None, f"Slurm job {job.handle} left no outcome; Slurm says: {ended}; see {log}")

    def _listed(self, form: str) -> list[str]:
        found = self._squeue(form)
        if found is None:
            raise UserError("squeue does not answer, so it cannot be told which jobs run already. Try again later")
        return [line for line in found if "|" in line]

    def _squeue(self, form: str) -> list[str] | None:
        """Return a line for each of this user's jobs that Slurm still knows, or `None` if it does not answer."""
        return _lines(["squeue", "--me", "--noheader", "--states=all", f"--format={form}"])

    def _accounted(self, number: str) -> str:
        """Return what Slurm's accounting, where a site has it, says of a job that has left the queue."""
        lines = _lines(["sacct", "-j", number, "--noheader", "--parsable2", "--allocations", "--format=State"])
        return lines[0] if lines else ""


def _lines(command: Iterable[str]) -> list[str] | None:
    try:
        done = children.finish(list(command), seconds=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else None
