"""Runs one arm: the process between a sweep, or Slurm, and the arm's command.

It outlives the sweep that started it. The output goes to the arm's log, and the outcome to a file that any later sweep
finds, so nothing is lost when the sweep is killed. Nothing heavy is imported: this starts before every arm.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lmx_files import atomic, opening
from lmx_files.safety import children

# How this module is started, and with which file in the arm's folder.
MODULE, ATTEMPT = "lmx_runs.jobs.worker", "attempt.json"
# The log of an arm, in its folder.
LOG = "log.txt"
# The line in the log that begins an attempt, so that an error can be told from one of an earlier attempt.
HEADER = "== attempt "
# Seconds that a command gets to save what it has, before stronger signals follow.
GRACE = 45.0


class Attempt:
    """One attempt at an arm, described by a JSON file; submitit calls it inside the Slurm job.

    The file holds `token`, `number`, `command`, `cwd`, `environment`, and the paths `log` and `outcome`.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        self.child: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the command to its end, write the outcome and return the exit status."""
        described = json.loads(opening.read_bytes(self.description))
        outcome = {"token": described["token"], "host": socket.gethostname(), "started": _now()}
        clock = time.monotonic()
        try:
            code, reason = self._run(described)
        except Exception as error:  # submitit raises inside `wait` when a job may not be requeued once more
            code, reason = 1, str(error)
            self._stop()
        outcome |= {"exit_code": code, "reason": reason, "ended": _now(), "seconds": time.monotonic() - clock}
        path = Path(described["outcome"])
        atomic.write(path, json.dumps(outcome) + "\n", sync=True, mode=atomic.OWNER)
        return code

    def checkpoint(self) -> Any:
        """Stop the command and return what Slurm shall run when the job starts again: submitit's way of requeueing.

        Called from the signal that announces a time limit or a preemption; the run's journal keeps what is finished.
        """
        from submitit.helpers import DelayedSubmission

        self._stop()
        return DelayedSubmission(Attempt(self.description))

    def _run(self, described: dict[str, Any]) -> tuple[int, str]:
        # Both are meant for the command, which gets them too: a sweep and Slurm signal all processes of an attempt.
        signal.signal(signal.SIGINT, _ignore)
        signal.signal(signal.SIGTERM, _ignore)
        command: list[str] = described["command"]
        with opening.open_log(described["log"]) as log:
            log.write(f"\n{HEADER}{described['number']}, {_now()}: {shlex.join(command)}\n".encode())
            try:
                self.child = children.start(
                    children.safe_command(command),
                    cwd=described["cwd"],
                    env={"PYTHONUNBUFFERED": "1"} | children.environment(needs=None) | described["environment"],
                    stdout=log,
                    stderr=log,
                    preexec_fn=_reset_signals,
                )
            except OSError as error:
                return 127, f"cannot start: {error}"
            return self.child.wait(), ""

    def _stop(self) -> None:
        """End the command, gently at first; safe inside a signal handler that interrupted `Popen.wait`, which locks."""
        if self.child is None:
            return
        for number, seconds in ((signal.SIGINT, GRACE), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            if not _alive(self.child.pid):
                return
            os.kill(self.child.pid, number)
            until = time.monotonic() + seconds
            while _alive(self.child.pid) and time.monotonic() < until:
                time.sleep(0.1)


def _alive(child: int) -> bool:
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _ignore(_number: int, _frame: Any) -> None:
    """Do nothing. Not SIG_IGN, which the command would inherit."""


def _reset_signals() -> None:
    """Let the command hear Ctrl-C even if the sweep was started in the background, and not Slurm's announcement.

    Slurm may send that one to every process of a job; the worker acts on it for the command.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(min(abs(Attempt(sys.argv[1])()), 255))
