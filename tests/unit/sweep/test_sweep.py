"""`lmx sweep` on this machine, with a stand-in for `lmx run`: what runs, what is skipped, what survives a kill."""

from __future__ import annotations

import csv
import itertools
import json
import sys
import time

import pytest

from lmx_cli import sweep as command
from lmx_cli.main import main
from lmx_runs.jobs import executors
from lmx_runs.sweep import flags, plan
from lmx_runs.sweep.state import State
from tests import sweep_tools as tools


@pytest.fixture
def lmx(monkeypatch, capsys, tmp_path):
    """Run `lmx` in this process with the stand-in; return its exit status and what it printed."""
    monkeypatch.setattr(flags, "RUN", (str(tools.fake_run(tmp_path)),))
    monkeypatch.setattr(command, "_report", lambda *_: None)
    monkeypatch.setattr(plan, "check_names", lambda *_: None)  # the stand-in has names of its own

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmx", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return run


def wait(ready, what):
    until = time.monotonic() + 300
    while not ready():
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.02)


def statuses(folder):
    return {name: state["status"] for name, state in tools.states(folder).items()}


def test_one_failure_stops_only_what_needs_it(lmx, tmp_path):
    arms = [
        {"name": "bad", "model_args": {"text": "fail"}},
        {"name": "after", "needs": ["bad"]},
        {"name": "last", "needs": ["after"]},
        {"name": "empty", "model_args": {"text": "no results"}},
        {"name": "good", "model_args": {"acc": 0.75}},
    ]
    code, out, err = lmx("sweep", tools.write(tmp_path, arms, max_parallel=3))
    assert code == 1
    assert statuses(tmp_path) == {
        "bad": "failed", "after": "skipped", "last": "skipped", "empty": "failed", "good": "done",
    }  # fmt: skip
    assert "bad failed (exit status 3); log: " in err
    assert "empty failed (exit status 0); log: " in err
    # Each reason is told once, when it happens.
    for reason in ("no such thing", "needs bad", "needs after", "it ended well but left no results"):
        assert err.count(reason) == 1
    assert [tools.starts(tmp_path, arm) for arm in ("bad", "after", "last")] == [1, 0, 0]
    # The collated table, its CSV and its JSON say the same.
    rows = {row["arm"]: row for row in csv.DictReader((tmp_path / "out" / "collated.csv").open())}
    assert list(rows) == ["bad", "after", "last", "empty", "good"]
    good = rows["good"]
    assert (good["quiz/acc"], good["quiz/acc_stderr"], good["quiz/acc_n"]) == ("0.75", "0.1", "4")
    assert (good["forwards"], good["tokens_per_forward"], good["stopped"]) == ("20", "2.5", "0.75")
    assert rows["bad"]["quiz/acc"] == ""
    record = json.loads((tmp_path / "out" / "collated.json").read_text())[4]
    assert record["scores"]["quiz/acc"] == {"value": 0.75, "stderr": 0.1, "n": 4, "higher_is_better": True}
    assert record["finish"] == {"eos": 3, "length": 1}
    (line,) = [line for line in out.splitlines() if line.startswith("good")]
    assert line.split() == ["good", "done", "0.7500", "±", "0.1000", "20", "2.5", "0.5", "0.75"]
    assert "quiz/extra" not in out  # only the first metric of a task that names no main ones


def test_needs_run_first_and_at_most_max_parallel_at_once(lmx, tmp_path):
    arms = [{"name": "use", "needs": ["make"]}, {"name": "make"}, {"name": "free", "matrix": {"x": [1, 2]}}]
    assert lmx("sweep", tools.write(tmp_path, arms, max_parallel=1))[0] == 0
    known = tools.states(tmp_path)
    ends = sorted((state["started"], state["ended"], name) for name, state in known.items())
    assert known["make"]["ended"] <= known["use"]["started"]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))


def test_a_repeated_sweep_runs_only_what_changed_failed_or_lost_its_results(lmx, tmp_path):
    arms = [
        {"name": "make"},
        {"name": "use", "needs": ["make"]},
        {"name": "free", "matrix": {"x": [1, 2]}},
        {"name": "bad", "model_args": {"text": "fail"}},
    ]
    folders = ("make", "use", "free__x=1", "free__x=2", "bad")

    def counts():
        return [tools.starts(tmp_path, folder) for folder in folders]

    path = tools.write(tmp_path, arms)
    assert lmx("sweep", path)[0] == 1
    assert counts() == [1, 1, 1, 1, 1]
    _, _, err = lmx("sweep", path)
    assert counts() == [1, 1, 1, 1, 2]
    assert "use is done already" in err
    # A changed setting: exactly that arm.
    arms[2]["matrix"]["x"] = [1, 3]
    path = tools.write(tmp_path, arms)
    lmx("sweep", path)
    assert counts() == [1, 1, 1, 1, 3]
    assert tools.starts(tmp_path, "free__x=3") == 1
    # A changed setting of an arm that another needs: both; the former results are kept aside.
    before = tools.states(tmp_path)["make"]["results"]
    arms[0]["limit"] = 7
    lmx("sweep", tools.write(tmp_path, arms))
    assert counts() == [2, 2, 1, 1, 4]
    assert not (tmp_path / "out" / before).exists()
    assert (tmp_path / "out" / "replaced" / "make" / "model" / before.rpartition("/")[2]).is_file()
    # Results that are gone, or damaged.
    known = tools.states(tmp_path)
    (tmp_path / "out" / known["use"]["results"]).unlink()
    (tmp_path / "out" / known["free/x=1"]["results"]).write_text("{")
    lmx("sweep", tools.write(tmp_path, arms))
    assert counts() == [2, 3, 2, 1, 5]
    # A mended arm among others that failed.
    arms[3]["model_args"]["text"] = "fine"
    assert lmx("sweep", tools.write(tmp_path, arms), "--retry-failed")[0] == 0
    assert counts() == [2, 3, 2, 1, 6]


def test_only_some_arms(lmx, tmp_path):
    arms = [{"name": "make"}, {"name": "use", "needs": ["make"]}, {"name": "free"}]
    path = tools.write(tmp_path, arms)
    assert lmx("sweep", path, "--only", "use", "--output_path", tmp_path / "else")[0] == 0
    assert not (tmp_path / "out").exists()
    state = json.loads((tmp_path / "else" / "sweep_state.json").read_text())
    assert set(state["arms"]) == {"make", "use"}
    code, _, err = lmx("sweep", path, "--only", "fre")
    assert code == 2
    assert "unknown arm for --only 'fre': did you mean 'free'?" in err


def test_results_of_former_settings_are_not_collated(lmx, tmp_path):
    arms = [{"name": "a", "model_args": {"acc": 0.25}}, {"name": "b"}]
    lmx("sweep", tools.write(tmp_path, arms))
    arms[0]["model_args"]["acc"] = 0.75
    path = tools.write(tmp_path, arms)
    _, out, _ = lmx("sweep", path, "--only", "b")
    assert [line.split()[:2] for line in out.splitlines() if line[:2] in ("a ", "b ")] == [
        ["a", "pending"],
        ["b", "done"],
    ]
    assert "0.2500" not in out
    _, out, _ = lmx("sweep", path, "--dry-run")
    assert "# a (to run again: its settings changed)" in out
    assert "# b (done)" in out


def test_dry_run_prints_commands_and_writes_nothing(lmx, tmp_path):
    arms = [{"name": "a", "env": {"X": "1 2"}, "model_args": {"text": "it's"}}, {"name": "b", "needs": ["a"]}]
    code, out, _ = lmx("sweep", tools.write(tmp_path, arms), "--dry-run")
    first, command_a, second, _ = out.splitlines()
    assert code == 0
    assert first == "# a (to run)"
    assert second == "# b (to run, after a)"
    assert command_a.startswith(f"'X=1 2' {sys.executable} ")
    assert """--model_args '{"text": "it'"'"'s"}'""" in command_a
    assert not (tmp_path / "out").exists()


def test_a_variable_reaches_the_arm_and_no_secret_of_the_shell_reaches_a_file(lmx, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    show = tmp_path / "show.py"
    show.write_text("import os; print('TOKEN', len(os.environ['HF_TOKEN']), os.environ['MINE']); raise SystemExit(5)")
    monkeypatch.setattr(flags, "RUN", (str(show),))
    lmx("sweep", tools.write(tmp_path, [{"name": "a", "env": {"MINE": 7}}]))
    assert "TOKEN 13 7" in (tmp_path / "out" / "arms" / "a" / "log.txt").read_text()
    assert tools.states(tmp_path)["a"]["exit_code"] == 5
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hf_verysecret" not in path.read_bytes(), path


@pytest.mark.parametrize(("at_once", "mine", "expected"), [(1, "", "-"), (2, "", "4"), (9, "", "1"), (2, "3", "3")])
def test_arms_side_by_side_share_the_cores(at_once, mine, expected, lmx, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    show = tmp_path / "show.py"
    show.write_text("import os; print('THREADS', os.environ.get('OMP_NUM_THREADS', '-')); raise SystemExit(5)")
    monkeypatch.setattr(flags, "RUN", (str(show),))
    arms = [{"name": f"a{i}", "env": {"OMP_NUM_THREADS": mine} if mine else {}} for i in range(9)]
    lmx("sweep", tools.write(tmp_path, arms), "--max_parallel", at_once)
    for arm in arms:
        assert f"THREADS {expected}" in (tmp_path / "out" / "arms" / arm["name"] / "log.txt").read_text()


def test_a_number_of_threads_that_the_shell_sets_is_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert executors.share_of_cores(2) == {}


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (("--executor", "pbs"), "unknown executor 'pbs'"),
        (("--output_path", "/proc/nowhere"), "results cannot be written to output_path '/proc/nowhere'"),
    ],
)
def test_mistakes_of_the_command_line(arguments, pattern, lmx, tmp_path):
    code, _, err = lmx("sweep", tools.write(tmp_path, [{"name": "a"}]), *arguments)
    assert code == 2
    assert pattern in err
    assert "Traceback" not in err


def test_a_damaged_state_file_is_named_with_the_mend(lmx, tmp_path):
    path = tools.write(tmp_path, [{"name": "a"}])
    lmx("sweep", path)
    state = tmp_path / "out" / "sweep_state.json"
    state.write_text(state.read_text()[:50])
    code, _, err = lmx("sweep", path)
    assert code == 2
    assert f"cannot read {state}" in err
    assert "Move the file away" in err
    assert tools.starts(tmp_path, "a") == 1


def test_a_full_disk_is_one_line_and_a_repeated_sweep_finds_what_runs(lmx, tmp_path, monkeypatch):
    path = tools.write(tmp_path, [{"name": "a"}])
    saved = []

    def save(state, folder):
        saved.append(state)
        if len(saved) > 3:
            raise OSError(28, "No space left on device")
        real(state, folder)

    real = State.save
    monkeypatch.setattr(State, "save", save)
    code, _, err = lmx("sweep", path)
    assert code == 2
    assert "No space left on device. Arms that run go on; mend this and repeat the command" in err
    assert "Traceback" not in err
    monkeypatch.setattr(State, "save", real)
    wait((tmp_path / "out" / "arms" / "a" / "outcome.json").exists, "the arm ends")
    assert lmx("sweep", path)[0] == 0
    assert tools.starts(tmp_path, "a") == 1


def test_a_report_that_fails_does_not_fail_the_sweep(tmp_path, monkeypatch, capsys):
    import subprocess

    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nlmx: error: no page today\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    command._report(tmp_path, "title", [tmp_path / "results.json"])
    assert capsys.readouterr().err == "the report could not be written: lmx: error: no page today\n"


def test_an_attempt_of_another_executor_is_not_started_twice(lmx, tmp_path):
    path = tools.write(tmp_path, [{"name": "a"}])
    lmx("sweep", path)
    state = State.load(tmp_path / "out")
    left = state.arms["a"].model_copy(update={"status": "running", "executor": "slurm", "handle": "12"})
    State(arms={"a": left}).save(tmp_path / "out")
    code, _, err = lmx("sweep", path)
    assert code == 2
    assert "arm a was left running by a sweep with --executor slurm (12): finish that one first" in err


def test_slurm_that_is_not_there(lmx, tmp_path, monkeypatch):
    path = tools.write(tmp_path, [{"name": "a"}], executor="slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = lmx("sweep", path)
    assert code == 2
    assert "needs the program 'sbatch', which is not on this machine" in err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'lmx-eval[slurm]'" in lmx("sweep", path)[2]


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ({"partion": "gpu"}, "unknown slurm setting 'partion': did you mean 'partition'"),
        ({"time": "1:00:00"}, "slurm.time is '1:00:00': give a whole number (minutes)"),
        ({"time": 2}, "slurm.time is 2 min: arms are asked to stop signal_delay_s=90 s before it ends"),
        ({"time": 1, "signal_delay_s": 10}, "Give at least 2 min"),
        ({"setup": "module load cuda"}, "slurm.setup must be a list of shell commands"),
        ({"setup": ["export HF_TOKEN=x"]}, "slurm.setup sets HF_TOKEN, which looks like a secret"),
        ({"job_name": "x"}, "unknown slurm setting 'job_name'"),
    ],
)
def test_slurm_settings_are_checked_before_anything_is_submitted(settings, pattern, lmx, tmp_path, monkeypatch):
    for program in ("sbatch", "srun", "squeue", "scancel"):
        (tmp_path / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/was_called\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = lmx("sweep", tools.write(tmp_path, [{"name": "a"}], executor="slurm", slurm=settings))
    assert code == 2
    assert pattern in err
    assert not (tmp_path / "was_called").exists()
