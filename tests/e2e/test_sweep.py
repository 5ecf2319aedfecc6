"""`lmx sweep` with real runs: one in an environment of its own, one that fails, one that uses what another made."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import sweep_tools
from tests.e2e.environments import ROOT, Environment

pytestmark = pytest.mark.slow

ECHO = "{arms.make.output_path}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that has lmx by a path line and the start-up line, as an editable install has it."""
    env = Environment.create(tmp_path_factory.mktemp("env"))
    start = (ROOT / "lmx_plugins" / "_start.py").read_text()
    (env.site / "lmx.pth").write_text(f"{ROOT}\nimport sys; exec({start!r})\n")
    return env


def lmx(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmx_cli.main", "sweep", str(path), *arguments]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=300)


def test_sweep_of_real_runs(environment, tmp_path):
    python = str(environment.folder / "bin" / "python")
    arms = [
        {"name": "make", "python": python, "model_args": {"text": "A line."}},
        {"name": "use", "model_args": {"text": ECHO}, "matrix": {"finish": ["eos", "length"]}},
        {"name": "wrong", "metadata": {"data_dir": str(tmp_path / "nowhere")}},
        {"name": "idle", "needs": ["wrong"]},
    ]
    defaults = {"model": "scripted", "tasks": ["constraint_tiny"], "limit": 3}
    path = sweep_tools.write(tmp_path, arms, defaults=defaults, max_parallel=2)
    done = lmx(path)
    assert done.returncode == 1, done.stderr
    out = tmp_path / "out"
    rows = {row["arm"]: row for row in csv.DictReader((out / "collated.csv").open())}
    assert {name: row["status"] for name, row in rows.items()} == {
        "make": "done", "use/finish=eos": "done", "use/finish=length": "done", "wrong": "failed", "idle": "skipped",
    }  # fmt: skip
    assert (rows["use/finish=eos"]["stopped"], rows["use/finish=length"]["stopped"]) == ("1.0", "0.0")
    assert float(rows["use/finish=length"]["constraint_tiny/stop_length"]) == 1.0
    assert f"{tmp_path / 'nowhere'}" in done.stderr
    assert (out / "report.html").stat().st_size > 10_000
    # Each arm ran in the environment that it names, and got the folder of the arm that it needs.
    known = json.loads((out / "sweep_state.json").read_text())["arms"]
    assert known["make"]["command"][0] == python
    assert known["use/finish=eos"]["command"][0] == sys.executable
    results = json.loads((out / known["use/finish=eos"]["results"]).read_text())
    assert results["config"]["model_args"]["text"] == str(out / "arms" / "make")
    # Again: what is done stays, and a changed setting runs its arm alone.
    arms[1]["matrix"] = {"finish": ["eos", "stop"]}
    del arms[2:]
    path = sweep_tools.write(tmp_path, arms, defaults=defaults)
    again = lmx(path)
    assert again.returncode == 0, again.stderr
    assert "use/finish=eos is done already" in again.stderr
    after = json.loads((out / "sweep_state.json").read_text())["arms"]
    arms_now = ("make", "use/finish=eos", "use/finish=stop")
    assert [(after[name]["status"], after[name]["attempts"]) for name in arms_now] == [("done", 1)] * 3
