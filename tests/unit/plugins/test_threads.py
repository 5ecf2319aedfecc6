"""How many threads, and how they wait: quotas, other work, and what the user set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lmx_plugins import threads


@pytest.fixture
def fresh(monkeypatch):
    """A process in which nothing is set and torch is not loaded."""
    for name in (*threads.THREADS, *threads.WAITING, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_chosen", {})
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(threads, "available_cores", lambda: 8)


def set_by(others, monkeypatch):
    monkeypatch.setattr(threads, "runnable_elsewhere", lambda: others)
    before = dict(os.environ)
    threads.prepare()
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def test_alone_nothing_is_set(fresh, monkeypatch):
    assert set_by(0.0, monkeypatch) == {}


def test_a_busy_machine_yields_and_shares_all_cores(fresh, monkeypatch):
    assert set_by(12.0, monkeypatch) == {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
    assert threads.chosen()["waiting"] == "yields after a short spin"


def test_taken_cores_are_left_out_while_half_are_free(fresh, monkeypatch):
    assert set_by(2.0, monkeypatch)["OMP_NUM_THREADS"] == "6"


@pytest.mark.parametrize("name", threads.WAITING)
def test_a_users_way_of_waiting_wins(fresh, monkeypatch, name):
    monkeypatch.setenv(name, "ACTIVE" if name == "OMP_WAIT_POLICY" else "7")
    assert set_by(12.0, monkeypatch) == {}


def test_a_users_number_of_threads_wins(fresh, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in set_by(2.0, monkeypatch)


def test_nothing_is_set_once_torch_is_loaded(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    assert set_by(12.0, monkeypatch) == {}


def test_a_quota_is_followed(fresh, monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 3)
    assert set_by(0.0, monkeypatch) == {"OMP_NUM_THREADS": "3"}


def group(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"groups": str(tmp_path / "cgroup"), "root": str(tmp_path / "fs")}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cgroup": "0::/a/b\n", "fs/a/cpu.max": "150000 100000\n", "fs/a/b/cpu.max": "max 100000\n"}, 1.5),
        ({"cgroup": "0::/a/b\n", "fs/a/cpu.max": "800000 100000\n", "fs/a/b/cpu.max": "200000 100000\n"}, 2.0),
        ({"cgroup": "0::/\n", "fs/cpu.max": "max 100000\n"}, None),
        (
            {
                "cgroup": "4:cpu,cpuacct:/x\n",
                "fs/cpu/x/cpu.cfs_quota_us": "400000",
                "fs/cpu/x/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        ({"cgroup": "4:cpu:/x\n", "fs/cpu/x/cpu.cfs_quota_us": "-1", "fs/cpu/x/cpu.cfs_period_us": "100000"}, None),
        ({"cgroup": "0::/../..\n"}, None),
        ({"cgroup": "nonsense\n"}, None),
    ],
)
def test_cpu_quota(tmp_path, files, quota):
    assert threads.cpu_quota(**group(tmp_path, files)) == quota


def test_available_cores_are_shared_by_the_ranks_of_a_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "cpu_quota", lambda: None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert threads.available_cores() == 2


def test_plain_lm_eval_is_prepared_before_torch_is_loaded():
    code = (
        "from lmx_plugins import threads; threads.runnable_elsewhere = lambda: 99.0\n"
        "import lm_eval, os, sys\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['GOMP_SPINCOUNT'])"
    )
    unset = (*threads.THREADS, *threads.WAITING)
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    assert (
        subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True).stdout.strip() == "1000"
    )
