"""Comparing expressions in a process of its own, with limits on time and memory.

A model may write a tower of powers. Whatever it writes is read and computed in a child process, which lives on from
one comparison to the next and is replaced when it ran into a limit.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shlex
import subprocess
import sys
import threading

from lmx_files.errors import UserError
from lmx_files.safety import children

SECONDS = 2.0
"""Processor time for all comparisons of one answer, so that a busy machine changes no score."""
WALL_FACTOR = 60
"""A child that neither answers nor uses processor time is given up after this many times `SECONDS`."""
MEMORY = 2 * 1024**3
"""Bytes of address space of the child."""
START_SECONDS = 120.0

_KEPT = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")


class LimitError(Exception):
    """A comparison needed more time or memory than it may have, or ended its process."""


class MathWorker:
    """A child process that compares expressions, started when it is first needed.

    Args:
        seconds: processor time for one comparison, where the caller has no budget.
        memory: address space of the child in bytes.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.seconds = seconds
        self.memory = memory
        self.started = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def compare(self, gold: str, answer: str) -> bool:
        """Whether two LaTeX expressions are equal; raises `LimitError`."""
        return self.timed(gold, answer, self.seconds)[0]

    def timed(self, gold: str, answer: str, seconds: float) -> tuple[bool, float]:
        """Whether two LaTeX expressions are equal, and the seconds of processor time used; raises `LimitError`."""
        request = json.dumps([gold, answer, seconds]).encode() + b"\n"
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            try:
                process.stdin.write(request)
                process.stdin.flush()
            except BrokenPipeError:
                verdict = b""
            else:
                verdict = self._line(process, WALL_FACTOR * seconds)
            equal, _, used = verdict.strip().partition(b" ")
            if equal not in (b"0", b"1") or not used:
                self._stop()
                raise LimitError(f"{gold[:60]} and {answer[:60]} could not be compared within the limits")
        return equal == b"1", float(used)

    def start(self) -> None:
        """Start the child now; raises `UserError` where that fails, before hours of generation and not after."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        command = children.module("lmx_metrics.math.process.child", str(self.memory))
        # No key of the user's reaches a process that reads a model's text. Hash order must not change a result.
        settings = children.environment(only=_KEPT, PYTHONHASHSEED="0", LMX_NO_AUTOLOAD="1")
        process = children.start(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=settings
        )
        self._process = process
        self.started += 1
        if self._line(process, START_SECONDS) != b"ready\n":
            self._stop()
            raise UserError(
                "the process that compares answers does not start. Is math-verify installed? "
                f"This shows what is wrong: {shlex.join([sys.executable, *command[1:]])}"
            )
        return process

    @staticmethod
    def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The child's next line; empty when it ended or took too long. It writes whole lines only."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready else b""

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


class Budget:
    """The processor time that the comparisons of one answer may use together.

    Args:
        seconds: of processor time, for all of them.
        worker: that compares; None: this process's own.
    """

    def __init__(self, seconds: float = SECONDS, worker: MathWorker | None = None) -> None:
        self.left = seconds
        self.worker = worker
        self._known: dict[tuple[str, str], bool] = {}

    def compare(self, gold: str, answer: str) -> bool:
        """Whether two LaTeX expressions are equal; raises `LimitError`, also when nothing of the budget is left."""
        if (gold, answer) in self._known:
            return self._known[gold, answer]
        if self.left <= 0:
            raise LimitError("the comparisons of this answer have used up their time")
        try:
            equal, used = (self.worker or own()).timed(gold, answer, self.left)
        except LimitError:
            self.left = 0.0
            raise
        self.left -= used
        self._known[gold, answer] = equal
        return equal


_workers: dict[int, MathWorker] = {}


def own() -> MathWorker:
    """Return this process's worker; a forked process gets a new one."""
    pid = os.getpid()
    if pid not in _workers:
        _workers[pid] = MathWorker()
        atexit.register(_close, pid)
    return _workers[pid]


def _close(pid: int) -> None:
    if pid == os.getpid():  # a forked process inherits what is registered here
        _workers.pop(pid).close()


def compare(gold: str, answer: str) -> bool:
    """Compare two LaTeX expressions by this process's worker; raises `LimitError`."""
    return own().compare(gold, answer)
