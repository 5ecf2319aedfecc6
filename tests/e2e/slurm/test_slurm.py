"""`lmx sweep --executor slurm` on a real Slurm cluster of one node, started for the test.

    LMX_SLURM_TEST=1 python -m pytest tests/e2e/slurm/test_slurm.py

Needs root and Debian's packages `slurmctld slurmd slurm-client munge`. The arms are stand-ins for `lmx run` that start
at once, except in the first test, which runs the scripted model.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import sweep_tools as tools
from tests.e2e.slurm.cluster import Cluster, missing

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(os.environ.get("LMX_SLURM_TEST", "0") in ("", "0"), reason="set LMX_SLURM_TEST=1 to run it"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert not missing(), f"not installed: {', '.join(missing())}"
    assert os.geteuid() == 0, "the daemons need root"
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster").start()
    yield cluster
    cluster.stop()


@pytest.fixture
def environment(cluster: Cluster) -> dict[str, str]:
    return {**os.environ, **cluster.variables, "OMP_NUM_THREADS": "1"}


def write(folder: Path, arms: list[dict[str, Any]], **top: Any) -> Path:
    return tools.write(folder, arms, executor="slurm", **({"slurm": {"time": 5}} | top))


def wait(ready: Callable[[], bool], what: str, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.1)


def test_real_runs_with_a_failure_and_what_needs_it(tmp_path, environment):
    arms = [
        {"name": "make", "model_args": {"text": "{prompt}"}},
        {"name": "use", "model_args": {"text": "{arms.make.output_path}"}},
        {"name": "wrong", "model_args": {"nonsense": 1}},
        {"name": "idle", "needs": ["wrong"]},
    ]
    path = write(tmp_path, arms, defaults={"model": "scripted", "tasks": ["constraint_tiny"], "limit": 3})
    command = [sys.executable, "-m", "lmx_cli.main", "sweep", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    rows = {row["arm"]: row for row in csv.DictReader((tmp_path / "out" / "collated.csv").open())}
    assert {name: row["status"] for name, row in rows.items()} == {
        "make": "done",
        "use": "done",
        "wrong": "failed",
        "idle": "skipped",
    }
    assert float(rows["use"]["constraint_tiny/stop_eos"]) == 1.0
    assert "did you mean 'responses'?" in done.stderr
    known = tools.states(tmp_path)
    assert int(known["use"]["handle"]) > int(known["make"]["handle"])
    assert known["use"]["started"] >= known["make"]["ended"]
    assert "use is done already" in subprocess.run(command, env=environment, capture_output=True, text=True).stderr


def test_killed_sweep_finds_its_running_and_waiting_jobs_again(tmp_path, environment, cluster):
    gate = tmp_path / "go"
    # Of three jobs that ask for all cores of the node one runs and the others wait.
    arms = [{"name": "a", "matrix": {"x": [1, 2, 3]}, "model_args": {"until": str(gate)}}]
    path = write(tmp_path, arms, slurm={"time": 5, "cpus_per_task": os.cpu_count()})
    fake = tools.fake_run(tmp_path)
    first = tools.start(fake, "sweep", path, env=environment)
    try:
        wait(lambda: tools.starts(tmp_path, "a__x=1") == 1, "the first job runs")
        wait(lambda: all(state["handle"] for state in tools.states(tmp_path).values()), "all jobs are known")
        queue = cluster.ask("squeue", "--noheader", "--format=%T").stdout.split()
        assert sorted(queue) == ["PENDING", "PENDING", "RUNNING"]
    finally:
        first.kill()
        first.communicate()
    second = tools.start(fake, "sweep", path, env=environment)
    gate.touch()
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert err.count("was left running by an earlier sweep") == 3
    assert [tools.starts(tmp_path, f"a__x={x}") for x in (1, 2, 3)] == [1, 1, 1]
    assert {state["attempts"] for state in tools.states(tmp_path).values()} == {1}


def test_job_whose_number_was_not_written_down_is_found_by_its_token(tmp_path, environment):
    gate = tmp_path / "go"
    path = write(tmp_path, [{"name": "a", "model_args": {"until": str(gate)}}])
    fake = tools.fake_run(tmp_path)
    first = tools.start(fake, "sweep", path, env=environment)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the job runs")
    first.kill()
    first.communicate()
    state = tmp_path / "out" / "sweep_state.json"
    handle = tools.states(tmp_path)["a"]["handle"]
    state.write_text(state.read_text().replace(f'"{handle}"', '""'))
    assert tools.states(tmp_path)["a"]["handle"] == ""
    second = tools.start(fake, "sweep", path, env=environment)
    wait(lambda: tools.states(tmp_path)["a"]["handle"] == handle, "the job is found")
    gate.touch()
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert tools.starts(tmp_path, "a") == 1


def test_cancelled_job_fails_and_ctrl_c_leaves_jobs_running(tmp_path, environment, cluster):
    path = write(tmp_path, [{"name": "a", "model_args": {"until": str(tmp_path / "never")}}])
    fake = tools.fake_run(tmp_path)
    first = tools.start(fake, "sweep", path, env=environment)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the job runs")
    first.send_signal(2)
    _, err = first.communicate(timeout=60)
    job = tools.states(tmp_path)["a"]["handle"]
    assert first.returncode == 130
    assert f"Slurm jobs go on: {job}. Cancel them with: scancel {job}" in err
    second = tools.start(fake, "sweep", path, env=environment)
    wait(lambda: f"process {second.pid} " in (tmp_path / "out" / "sweep_state.json").read_text(), "the sweep watches")
    assert cluster.ask("scancel", job).returncode == 0
    _, err = second.communicate(timeout=120)
    assert second.returncode == 1
    assert "a: failed" in err
    assert "SIGTERM" in err


def test_job_at_its_time_limit_goes_on_in_a_new_one(tmp_path, environment, cluster):
    gate = tmp_path / "go"
    path = write(tmp_path, [{"name": "a", "model_args": {"until": str(gate)}}])
    sweep = tools.start(tools.fake_run(tmp_path), "sweep", path, env=environment)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the job runs")
    # What Slurm sends before the limit: see signal_delay_s.
    job = tools.states(tmp_path)["a"]["handle"]
    assert cluster.ask("scancel", "--signal=USR2", job).returncode == 0
    wait(lambda: tools.starts(tmp_path, "a") == 2, "the job runs again")
    gate.touch()
    _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, err
    assert "lmx: interrupted" in (tmp_path / "out" / "arms" / "a" / "log.txt").read_text()
    assert tools.states(tmp_path)["a"]["handle"] == job


def test_job_that_leaves_no_outcome_fails_with_what_slurm_says(tmp_path, environment, cluster):
    path = write(tmp_path, [{"name": "a", "model_args": {"until": str(tmp_path / "never")}}])
    sweep = tools.start(tools.fake_run(tmp_path), "sweep", path, env=environment)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the job runs")
    job = tools.states(tmp_path)["a"]["handle"]
    fake = str(tmp_path / "fake_run.py")
    (run,) = [process for process in psutil.process_iter(["cmdline"]) if fake in (process.info["cmdline"] or [])]
    run.parent().kill()
    run.kill()
    _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 1
    assert re.search(rf"a: failed: Slurm job {job} left no outcome; Slurm says: (CANCELLED|FAILED)", err)


def test_refused_submission_is_a_failed_arm(tmp_path, environment):
    arms = [{"name": "a", "slurm": {"partition": "nowhere"}}, {"name": "b"}]
    sweep = tools.start(tools.fake_run(tmp_path), "sweep", write(tmp_path, arms), env=environment)
    _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 1
    assert "a: failed: sbatch: error: invalid partition specified: nowhere" in err
    assert {name: state["status"] for name, state in tools.states(tmp_path).items()} == {"a": "failed", "b": "done"}
