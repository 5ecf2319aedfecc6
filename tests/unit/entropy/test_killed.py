"""A child process that measures is really killed; what it leaves in the end is what an undisturbed one leaves."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.e2e.environments import ROOT


@pytest.mark.full
def test_killed_ten_times_with_sigkill_the_bytes_are_the_same(tmp_path):
    script = ROOT / "benchmarks" / "studies" / "entropy_killed.py"
    command = [sys.executable, str(script), "--tokens", "30000", "--part", "2000", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["same_bytes"]
    assert found["kills"] == 10
    assert found["tokens_scored_by_each_of_two_models"] > 25_000
