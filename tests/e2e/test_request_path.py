"""One request passes fewer files of lmx than before there were rooms; the page that follows it says how to count."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEFORE = 40  # when the models lay flat in one folder


@pytest.mark.full
def test_a_request_passes_fewer_files_than_before() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "request_path.py"), "--list"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    *files, last = done.stdout.splitlines()
    (count,) = re.findall(r"the request passes: (\d+);", last)
    assert len(files) == int(count) < BEFORE
    assert {"lmx_models/methods/guided.py", "lmx_models/decoding/guided/loop.py", "lmx_metrics/structure.py"} <= set(
        files
    )
    page = (ROOT / "docs" / "structures.md").read_text(encoding="utf-8")
    assert "python scripts/request_path.py" in page
