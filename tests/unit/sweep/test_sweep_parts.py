"""Parts of `lmx sweep` by themselves: what it makes of Slurm's answers, of logs, and what the screen shows."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from lmx_files.errors import UserError
from lmx_runs.jobs import logs, slurm
from lmx_runs.jobs.executors import Job, Report
from lmx_runs.sweep import arms, config
from lmx_runs.sweep.state import ArmState
from lmx_runs.sweep.view import View
from tests import sweep_tools as tools

TIMES = ("started", "ended", "seconds")


def test_slurm_that_does_not_answer_is_not_taken_for_a_job_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "_ASK_EVERY", -1.0)
    monkeypatch.setattr(slurm, "_PATIENCE", 0.0)
    monkeypatch.setenv("PATH", str(tmp_path))
    answers = {"sbatch": "", "srun": "", "scancel": "", "sacct": "echo OUT_OF_MEMORY", "squeue": "exit 1"}

    def answer(program, script):
        (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / program).chmod(0o755)

    for program, script in answers.items():
        answer(program, script)
    executor = slurm.SlurmExecutor(tmp_path, "test")
    jobs = {"a": Job("12", "t", tmp_path / "outcome.json")}

    def report():
        return executor.poll(jobs)["a"]

    assert report().state == "waiting"
    with pytest.raises(UserError, match="squeue does not answer"):
        executor.find("t")
    answer("squeue", "echo '12|RUNNING'")
    assert report().state == "running"
    answer("squeue", "exit 1")
    assert report().state == "running"
    answer("squeue", "echo '13|RUNNING'")
    assert report().reason.startswith("Slurm job 12 left no outcome; Slurm says: OUT_OF_MEMORY; see ")
    answer("squeue", "echo '12|TIMEOUT'")
    assert "Slurm says: TIMEOUT" in report().reason
    answer("squeue", "echo '12|t'")
    assert executor.find("t") == "12"
    jobs["a"].outcome.write_text(json.dumps({"token": "t", "exit_code": 0, "reason": ""} | dict.fromkeys(TIMES)))
    assert (report().state, report().exit_code) == ("ended", 0)


def test_the_log_tells_progress_and_the_error_of_the_last_attempt(tmp_path):
    log = tmp_path / "log.txt"
    assert logs.last_line(log) == ""
    log.write_text("== attempt 1, now: x\nValueError: old\n== attempt 2, now: x\n")
    assert (logs.last_line(log), logs.error_line(log)) == ("", "")
    with log.open("a") as file:
        file.write("start\n 10%|#  |\r\x1b[32m 20%|## |\x1b[0m\r")
    assert logs.last_line(log) == "20%|## |"
    with log.open("a") as file:
        file.write("\nlmx_x.Error: new\n[W socket] cleaned up\n\n")
    assert (logs.last_line(log), logs.error_line(log)) == ("[W socket] cleaned up", "lmx_x.Error: new")


def test_the_live_table_shows_what_matters_first(tmp_path):
    entries = [{"name": name} for name in ("finished", "queued", "wrong", "busy", "later")]
    found = arms.expand(config.load(tools.write(tmp_path, entries)), tmp_path)
    busy = next(arm for arm in found if arm.name == "busy")
    busy.folder.mkdir(parents=True)
    (busy.folder / "log.txt").write_text("== attempt 1\n 40%|####   [x]\r")
    states = {
        "finished": ArmState(status="done", seconds=75.0),
        "queued": ArmState(status="running"),
        "wrong": ArmState(status="failed", seconds=1.0, reason="ValueError: [red]x"),
        "busy": ArmState(status="running", started="2026-01-01T00:00:00+00:00"),
        "later": ArmState(),
    }
    reports = {"queued": Report("waiting"), "busy": Report("running")}
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=90, height=20, color_system=None)
    with View(console) as view:
        view.update(found, states, reports)
    lines = [line.split() for line in screen.getvalue().splitlines()]
    shown = [line for line in lines if line and line[0] in states]
    assert [line[0] for line in shown[:5]] == ["busy", "queued", "wrong", "later", "finished"]
    assert shown[0][1] == "running"
    assert shown[0][-2:] == ["40%|####", "[x]"]
    assert shown[1][1] == "queued"
    assert shown[2][-2:] == ["ValueError:", "[red]x"]
    assert shown[4][1:] == ["done", "1", "min", "15", "s"]
