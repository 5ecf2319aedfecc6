"""Brings the arms of a sweep to their ends: starts what is ready, watches what runs, remembers everything."""

from __future__ import annotations

import datetime
import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_runs.jobs import logs
from lmx_runs.jobs.executors import Executor, Job, Report, SubmissionError, outcome_of
from lmx_runs.jobs.worker import LOG
from lmx_runs.sweep.arms import Arm
from lmx_runs.sweep.plan import arm_lacks, is_done, results_of, set_aside
from lmx_runs.sweep.state import MOST_ATTEMPTS, STATE_FILE, ArmState, State, this_process
from lmx_runs.sweep.view import View

_TICK = 0.1


class Runner:
    """One run of a sweep over the arms that are to be finished.

    Args:
        folder: the sweep's folder. `state`: what is known, changed and saved here.
        arms: the arms to finish, needed ones first. `max_parallel`: how many at once.
    """

    def __init__(
        self, folder: Path, arms: Sequence[Arm], state: State, executor: Executor, view: View, max_parallel: int
    ) -> None:
        self.folder = folder
        self.arms = {arm.name: arm for arm in arms}
        self.state = state
        self.executor = executor
        self.view = view
        self.max_parallel = max_parallel
        self.jobs: dict[str, Job] = {}
        self.reports: dict[str, Report] = {}
        self._before: dict[str, str] = {}  # fingerprints of what lies in the arms' folders

    def run(self) -> None:
        """Run until every arm is done, failed or skipped; a `KeyboardInterrupt` leaves the state saved.

        Attempts on this machine are stopped by it, Slurm jobs go on.
        """
        self.state.process = this_process()
        try:
            self._prepare()
            while True:
                self._collect()
                self._skip()
                self._start()
                self.view.update(self.arms.values(), self.state.arms, self.reports)
                if not self.jobs and not any(self._status(name) == "pending" for name in self.arms):
                    return
                time.sleep(_TICK)
        except KeyboardInterrupt:
            if not self.executor.detached:
                self.stop()
            raise

    def stop(self) -> None:
        """End all running attempts and mark them as interrupted."""
        if self.jobs:
            self.view.say(f"stopping {', '.join(self.jobs)} ...")
            self.executor.stop(self.jobs)
        for name in self.jobs:
            self._set(name, status="interrupted", handle="", reason="stopped together with the sweep")
        self.jobs.clear()

    def _prepare(self) -> None:
        """Mark what is to run, and take over attempts that an earlier sweep left running."""
        for arm in self.arms.values():
            known = self.state.arms.setdefault(arm.name, ArmState())
            self._before[arm.name] = known.fingerprint
            if is_done(arm, known):
                self.view.say(f"{arm.name} is done already")
            elif known.status != "running" or not self._taken_over(arm, known):
                new = ArmState(attempts=known.attempts, fingerprint=arm.fingerprint)
                self._set(arm.name, **new.model_dump())

    def _taken_over(self, arm: Arm, known: ArmState) -> bool:
        if known.executor != self.executor.name:
            raise UserError(
                f"arm {arm.name} was left running by a sweep with --executor {known.executor} "
                f"({known.handle or 'starting'}): finish that one first with the same executor"
            )
        job = Job(known.handle, known.token, arm.folder / "outcome.json")
        if not job.handle and outcome_of(job) is None:
            found = self.executor.find(job.token)
            if found is None:
                return False
            job = replace(job, handle=found)
        elif job.handle and outcome_of(job) is None and not self.executor.ours(job):
            self.view.say(
                f"{arm.name}: {job.handle}, which {STATE_FILE} names, is no job of this sweep: it is left alone"
            )
            return False
        if known.fingerprint != arm.fingerprint:
            self.view.say(f"{arm.name} has changed since it was started: its attempt is stopped")
            self.executor.stop({arm.name: job})
            return False
        self.view.say(f"{arm.name} was left running by an earlier sweep ({job.handle}) and is watched again")
        self.jobs[arm.name] = job
        self._set(arm.name, handle=job.handle)
        return True

    def _collect(self) -> None:
        self.reports = self.executor.poll(self.jobs)
        for name, report in self.reports.items():
            known = self.state.arms[name]
            if report.state == "ended":
                del self.jobs[name]
                self._ended(name, report)
            elif report.state == "running" and known.started is None:
                self._set(name, started=_now())

    def _ended(self, name: str, report: Report) -> None:
        arm = self.arms[name]
        lacks = arm_lacks(arm) if report.exit_code == 0 else "anything"
        run = results_of(arm.folder) if not lacks else None
        times = {"started": report.started, "ended": report.ended or _now(), "seconds": report.seconds}
        known = {key: value for key, value in times.items() if value is not None}
        if not lacks:
            results = str(run.file.relative_to(self.folder)) if run else None
            self._set(name, status="done", exit_code=0, results=results, reason="", **known)
            return
        reason = report.reason or logs.error_line(arm.folder / LOG)
        if report.exit_code == 0:
            reason = f"it ended well but left {lacks}"
        self._set(name, status="failed", exit_code=report.exit_code, results=None, reason=reason, **known)

    def _skip(self) -> None:
        """Skip what needs an arm that will not be done; arms come after their needs, so once over all is enough."""
        for arm in self.arms.values():
            lost = [n for n in arm.needs if self._status(n) in ("failed", "skipped", "interrupted")]
            if self._status(arm.name) == "pending" and lost:
                self._set(arm.name, status="skipped", results=None, reason=f"needs {lost[0]}")

    def _start(self) -> None:
        for arm in self.arms.values():
            if len(self.jobs) >= self.max_parallel:
                return
            if self._status(arm.name) == "pending" and all(self._status(need) == "done" for need in arm.needs):
                self._submit(arm)

    def _submit(self, arm: Arm) -> None:
        known = self.state.arms[arm.name]
        for path in (arm.folder.parent, arm.folder, self.folder / "replaced"):
            if path.is_symlink():
                raise UserError(f"{path} is a symbolic link, which is not followed: move it away")
        arm.folder.mkdir(parents=True, exist_ok=True)
        set_aside(arm, self.folder / "replaced", self._before[arm.name] not in ("", arm.fingerprint))
        job = Job("", uuid.uuid4().hex, arm.folder / "outcome.json")
        job.outcome.unlink(missing_ok=True)
        described = {
            "token": job.token,
            "number": known.attempts + 1,
            "command": list(arm.command),
            "cwd": os.getcwd(),
            "environment": dict(arm.environment or {}),
            "log": str(arm.folder / LOG),
            "outcome": str(job.outcome),
        }
        atomic.write(job.description, json.dumps(described, indent=1) + "\n", sync=True, mode=atomic.OWNER)
        # Written down before it happens: if the sweep is killed in between, the next one looks for the token.
        self._set(
            arm.name,
            status="running",
            fingerprint=arm.fingerprint,
            attempts=min(known.attempts + 1, MOST_ATTEMPTS),
            token=job.token,
            executor=self.executor.name,
            handle="",
            command=list(arm.command),
            exit_code=None,
            started=None,
            ended=None,
            seconds=None,
            results=None,
            reason="",
        )
        try:
            handle = self.executor.submit(arm.name, job.description, job.token, arm.slurm)
        except SubmissionError as error:
            self._set(arm.name, status="failed", reason=str(error))
            return
        self.jobs[arm.name] = Job(handle, job.token, job.outcome)
        self._set(arm.name, handle=handle)

    def _status(self, name: str) -> str:
        known = self.state.arms.get(name)
        return "pending" if known is None else known.status

    def _set(self, name: str, **changes: object) -> None:
        before = self.state.arms[name]
        self.state.arms[name] = after = before.model_copy(update=changes)
        self.state.save(self.folder)
        if before.status != after.status:
            self.view.changed(name, after, self.arms[name].folder / LOG)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
