"""Sweeps of somebody else: state files that name processes and jobs, folders full of links, files with secrets."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lmx_files.errors import UserError
from lmx_files.safety import children
from lmx_runs.jobs import executors, logs, slurm
from lmx_runs.jobs.executors import Job, LocalExecutor, outcome_of
from lmx_runs.jobs.worker import MODULE, Attempt
from lmx_runs.sweep import arms, plan
from lmx_runs.sweep.state import STATE_FILE, ArmState, State, locked
from tests.unit.files.watching import HOSTILE

TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def victim():
    """A process of this user that is no worker of a sweep, in a group of its own."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    assert process.poll() is None, "the victim was signalled"
    process.kill()
    process.wait()


def stand_in(description: Path) -> subprocess.Popen[bytes]:
    """Start a process with the command line of a worker; the system takes a moment to show it."""
    command = [sys.executable, "-c", "import time; time.sleep(600)", MODULE, str(description)]
    process = subprocess.Popen(command, start_new_session=True)
    while not psutil.Process(process.pid).cmdline():
        time.sleep(0.01)
    return process


@pytest.fixture
def signals(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "killpg", lambda *what: sent.append(what))
    monkeypatch.setattr(executors, "GRACE", 0.1)
    return sent


def test_a_process_that_is_no_worker_of_ours_is_never_signalled(victim, tmp_path, signals):
    number = victim.pid
    for handle in (
        f"{number}:{psutil.Process(number).create_time()}",
        f"{number}:{executors._birth(number)}",
        f"{number}:",
    ):
        job = Job(handle, TOKEN, tmp_path / "outcome.json")
        executor = LocalExecutor()
        assert executor.poll({"a": job})["a"].reason == "its process was killed"
        executor.stop({"a": job})
    assert signals == []


HANDLES = ["", "1", "-1:5", "0:0", "1:1", "x:y", f"{os.getpid()}:", f"{os.getppid()}:1.5", "9" * 30]


@pytest.mark.parametrize("handle", HANDLES, ids=range(len(HANDLES)))  # test processes must agree on names
def test_odd_handles_are_nobody(handle, tmp_path, signals):
    executor = LocalExecutor()
    executor.stop({"a": Job(handle, TOKEN, tmp_path / "outcome.json")})
    assert signals == []


def test_a_worker_of_another_arm_is_not_ours(tmp_path, signals):
    """Its command line names another attempt."""
    other = stand_in(tmp_path / "other" / "attempt.json")
    try:
        handle = f"{other.pid}:{executors._birth(other.pid)}"
        LocalExecutor().stop({"a": Job(handle, TOKEN, tmp_path / "a" / "outcome.json")})
        assert signals == []
        executor, job = LocalExecutor(), Job(handle, TOKEN, tmp_path / "other" / "outcome.json")
        assert executor.poll({"a": job})["a"].state == "running"
        later = Job(f"{other.pid}:{int(executors._birth(other.pid)) + 1}", TOKEN, job.outcome)
        assert executor.poll({"a": later})["a"].state == "ended"
    finally:
        other.kill()
        other.wait()


def test_a_clock_that_is_set_changes_no_worker_s_age(tmp_path, monkeypatch):
    worker = stand_in(tmp_path / "attempt.json")
    try:
        job = Job(f"{worker.pid}:{executors._birth(worker.pid)}", TOKEN, tmp_path / "outcome.json")
        before = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: before(self) + 3600)
        assert LocalExecutor().poll({"a": job})["a"].state == "running"
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Programs of Slurm that note how they are called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, does in {
        "sbatch": "",
        "srun": "",
        "scancel": f'echo "$@" >> {tmp_path}/cancelled',
        "squeue": "echo '12|other'",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_PATIENCE", 0.1)
    return slurm.SlurmExecutor(tmp_path / "slurm", "test")


@pytest.mark.parametrize("handle", ["12", "--user=victim", "12 13", "-1", "12_4", ""])
def test_a_job_that_is_not_ours_is_never_cancelled(cluster, tmp_path, handle):
    job = Job(handle, TOKEN, tmp_path / "outcome.json")
    cluster.stop({"a": job})
    assert not (tmp_path / "cancelled").exists()
    assert cluster.ours(job) is (handle != "12")  # the queue knows no other


def test_a_job_of_ours_is_cancelled(cluster, tmp_path):
    (tmp_path / "bin" / "squeue").write_text(f"#!/bin/sh\necho '12|{TOKEN}'\n")
    job = Job("12", TOKEN, tmp_path / "outcome.json")
    assert cluster.ours(job)
    cluster.stop({"a": job})
    assert (tmp_path / "cancelled").read_text() == "12\n"


STATE = {
    "version": 1,
    "process": "",
    "arms": {"a": ArmState(status="running", executor="local", token=TOKEN).model_dump()},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("handle", "--user=victim"),
        ("handle", "1 2"),
        ("handle", "1:2:3"),
        ("token", ""),
        ("token", "x"),
        ("executor", "sh"),
        ("results", "/etc/passwd"),
        ("results", "../../x.json"),
        ("started", "soon"),
        ("started", "2026-01-01"),
        ("seconds", -1),
        ("attempts", "5"),
        ("status", "odd"),
        ("exit_code", 1 << 70),
        ("command", "rm"),
        ("attempts", -1),
    ],
)
def test_a_state_that_lmx_does_not_write_is_refused_in_one_line(tmp_path, name, value):
    state = json.loads(json.dumps(STATE))
    state["arms"]["a"][name] = value
    (tmp_path / STATE_FILE).write_text(json.dumps(state))
    if (name, value) == ("token", ""):
        assert State.load(tmp_path).arms["a"].token == ""  # an arm that was never started
        return
    with pytest.raises(UserError, match=rf"cannot read .*{STATE_FILE}: arms.a.{name}.*Move the file away") as told:
        State.load(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", [STATE_FILE, ".sweep.lock"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_sweep_s_folder_holds_regular_files(tmp_path, name, kind):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / name).symlink_to(tmp_path / "notes") if kind == "link" else os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=name), locked(tmp_path):
        State.load(tmp_path)
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("value", [*HOSTILE, {"token": TOKEN, "exit_code": -60, "reason": ""}])
def test_an_outcome_that_lmx_does_not_write_is_none(tmp_path, value):
    job = Job("1:1", TOKEN, tmp_path / "outcome.json")
    job.outcome.write_text(json.dumps(value))
    assert outcome_of(job) is None
    job.outcome.unlink()
    os.mkfifo(job.outcome)
    assert outcome_of(job) is None


def test_an_unknown_signal_is_told_by_its_number(tmp_path):
    job = Job("1:1", TOKEN, tmp_path / "outcome.json")
    whole = {"token": TOKEN, "exit_code": -60, "reason": "", "started": None, "ended": None, "seconds": 1.0}
    job.outcome.write_text(json.dumps(whole))
    report = outcome_of(job)
    assert report is not None
    assert report.reason == "ended by signal 60"


def attempt(folder: Path, command: list[str], environment: dict[str, str]) -> int:
    described = {
        "token": TOKEN,
        "number": 1,
        "command": command,
        "cwd": str(folder),
        "environment": environment,
        "log": str(folder / "log.txt"),
        "outcome": str(folder / "outcome.json"),
    }
    (folder / "attempt.json").write_text(json.dumps(described))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return Attempt(str(folder / "attempt.json"))()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_arm_imports_nothing_from_the_current_folder_and_its_files_are_its_owner_s(tmp_path):
    (tmp_path / "json.py").write_text("open('RAN', 'w')")
    (tmp_path / "timeit.py").write_text("open('RAN', 'w')")
    assert attempt(tmp_path, [sys.executable, "-m", "timeit", "-n", "1", "pass"], {"X": "y"}) == 0
    assert not (tmp_path / "RAN").exists()
    for name in ("log.txt", "outcome.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "best of" in (tmp_path / "log.txt").read_text()


def test_a_log_that_is_a_link_is_not_written_to(tmp_path):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "log.txt").symlink_to(tmp_path / "notes")
    assert attempt(tmp_path, [sys.executable, "-c", "pass"], {}) == 1
    assert (tmp_path / "notes").read_text() == "mine"
    assert logs.last_line(tmp_path / "log.txt") == ""


def test_a_log_s_line_is_shown_without_its_secrets(tmp_path):
    (tmp_path / "log.txt").write_text("ValueError: key sk-0123456789abcdef is wrong, token=abcdef\n")
    assert logs.error_line(tmp_path / "log.txt") == "ValueError: key [redacted] is wrong, token=[redacted]"


def test_no_interpreter_is_probed_in_a_folder_of_somebody_else_s(tmp_path, monkeypatch):
    (tmp_path / "importlib").mkdir()
    (tmp_path / "importlib" / "__init__.py").write_text("open('RAN', 'w')")
    (tmp_path / "lmx_cli.py").write_text("open('RAN', 'w')")
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    arm = arms.Arm("a", "a", {}, {"model": "x"}, str(other), {}, {}, (), tmp_path)
    plan.check_pythons([arm])
    done = children.finish([str(other), "-c", plan._HAS_LMX], seconds=60)
    assert done.stderr == ""
    assert not (tmp_path / "RAN").exists()
