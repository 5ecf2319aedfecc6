"""Sweeps that are killed, interrupted or started twice while their arms run as processes."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests import sweep_tools as tools
from tests.unit.sweep import test_sweep
from tests.unit.sweep.test_sweep import statuses, wait

lmx = test_sweep.lmx


@pytest.fixture
def running(tmp_path):
    """Start `lmx` in processes of their own; they are killed at the end, together with what they started."""
    fake = tools.fake_run(tmp_path)
    started = []

    def start(*arguments, **options):
        started.append(tools.start(fake, *arguments, **options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    state = tmp_path / "out" / "sweep_state.json"
    for arm in json.loads(state.read_text())["arms"].values() if state.exists() else []:
        if arm["status"] == "running":
            try:
                os.killpg(int(arm["handle"].partition(":")[0]), signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                continue


def test_two_sweeps_on_one_folder(running, lmx, tmp_path):
    gate = tmp_path / "go"
    path = tools.write(tmp_path, [{"name": "a", "model_args": {"until": str(gate)}}])
    first = running("sweep", path)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the arm runs")
    code, _, err = lmx("sweep", path)
    assert code == 2
    assert f"a sweep is running on {tmp_path / 'out'} already (process {first.pid} on " in err
    gate.touch()
    assert first.wait(60) == 0
    assert tools.starts(tmp_path, "a") == 1


def test_killed_sweep_goes_on_with_the_processes_that_run(running, tmp_path):
    gate = tmp_path / "go"
    arms = [
        {"name": "first"},
        {"name": "slow", "model_args": {"until": str(gate)}},
        {"name": "last", "needs": ["slow"]},
    ]
    path = tools.write(tmp_path, arms)
    killed = running("sweep", path)
    wait(lambda: tools.starts(tmp_path, "slow") == 1, "the arm runs")
    killed.kill()
    killed.communicate()
    again = running("sweep", path)
    wait(lambda: f"process {again.pid} " in (tmp_path / "out" / "sweep_state.json").read_text(), "the sweep watches")
    gate.touch()
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert "first is done already" in err
    assert "slow was left running by an earlier sweep" in err
    assert [tools.starts(tmp_path, arm) for arm in ("first", "slow", "last")] == [1, 1, 1]


def test_arm_that_ended_while_no_sweep_watched(running, tmp_path):
    gate = tmp_path / "go"
    path = tools.write(tmp_path, [{"name": "a", "model_args": {"until": str(gate)}}])
    killed = running("sweep", path)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the arm runs")
    killed.kill()
    killed.communicate()
    gate.touch()
    wait((tmp_path / "out" / "arms" / "a" / "outcome.json").exists, "the arm ends")
    again = running("sweep", path)
    assert again.wait(60) == 0
    assert (statuses(tmp_path), tools.starts(tmp_path, "a")) == ({"a": "done"}, 1)


def test_killed_arm_fails_and_runs_again_when_asked(running, lmx, tmp_path):
    gate = tmp_path / "go"
    path = tools.write(tmp_path, [{"name": "a", "model_args": {"until": str(gate)}}, {"name": "b"}])
    sweep = running("sweep", path)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the arm runs")
    os.killpg(int(tools.states(tmp_path)["a"]["handle"].partition(":")[0]), signal.SIGKILL)
    assert sweep.wait(60) == 1
    assert statuses(tmp_path) == {"a": "failed", "b": "done"}
    assert tools.states(tmp_path)["a"]["reason"] == "its process was killed"
    gate.touch()
    assert lmx("sweep", path)[0] == 0
    assert (tools.starts(tmp_path, "a"), tools.starts(tmp_path, "b")) == (2, 1)


def test_changed_arm_that_still_runs_is_stopped_first(running, tmp_path):
    gate = tmp_path / "go"
    path = tools.write(tmp_path, [{"name": "a", "model_args": {"until": str(gate)}}])
    killed = running("sweep", path)
    wait(lambda: tools.starts(tmp_path, "a") == 1, "the arm runs")
    killed.kill()
    killed.communicate()
    again = running("sweep", tools.write(tmp_path, [{"name": "a", "model_args": {"acc": 0.25}}]))
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert "a has changed since it was started: its attempt is stopped" in err
    assert "lmx: interrupted" in (tmp_path / "out" / "arms" / "a" / "log.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_arms_and_a_repeated_sweep_goes_on(number, running, tmp_path):
    gate = tmp_path / "go"
    arms = [{"name": "a", "matrix": {"x": [1, 2]}, "model_args": {"until": str(gate)}}, {"name": "b", "needs": ["a"]}]
    path = tools.write(tmp_path, arms, max_parallel=2)
    sweep = running("sweep", path)
    wait(lambda: all(tools.starts(tmp_path, f"a__x={x}") for x in (1, 2)), "the arms run")
    sweep.send_signal(number)
    _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "repeat the command to go on from here" in err
    assert statuses(tmp_path) == {"a/x=1": "interrupted", "a/x=2": "interrupted", "b": "pending"}
    assert "lmx: interrupted" in (tmp_path / "out" / "arms" / "a__x=1" / "log.txt").read_text()
    gate.touch()
    again = running("sweep", path)
    assert again.wait(60) == 0
    assert set(statuses(tmp_path).values()) == {"done"}
    assert tools.starts(tmp_path, "a__x=1") == 2
