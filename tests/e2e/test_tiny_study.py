"""`configs/tiny_study.yaml`, all arms, on a few prompts: every way of decoding ends in one table."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.environments import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.full]

LIMIT = 4


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The collated table by arm, of the shipped sweep file with nothing changed but the number of prompts."""
    folder = tmp_path_factory.mktemp("study")
    study = yaml.safe_load((ROOT / "configs" / "tiny_study.yaml").read_text())
    study["defaults"]["limit"] = LIMIT
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "lmx_cli.main", "sweep", "study.yaml", "--output_path", "out"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    with Path(folder / "out" / "collated.csv").open() as file:
        return {row["arm"]: row for row in csv.DictReader(file)}


def test_every_arm_has_scores_costs_and_endings(rows):
    assert len(rows) == 14
    for name, row in rows.items():
        assert row["status"] == "done", name
        for score in ("constraint_tiny/solved", "category_counting_tiny/accuracy", "stopped"):
            assert 0 <= float(row[score]) <= 1, (name, score)
        assert row["constraint_tiny/solved_n"] == str(LIMIT)
        assert float(row["forwards"]) > 0, name
        # A text that the method throws away, as a plan or a draft, is paid for all the same.
        assert float(row["tokens_per_forward"]) > 0, name


def test_the_methods_differ_as_they_should(rows):
    assert float(rows["ar"]["constraint_tiny/solved"]) == 1.0
    assert float(rows["ar"]["tokens_per_forward"]) == pytest.approx(1.0, abs=0.05)
    assert float(rows["wedlm"]["tokens_per_forward"]) > 2
    assert float(rows["bd3lm"]["constraint_tiny/all_loose"]) > 0
    for arm in ("ar", "wedlm", "mdlm", "bd3lm"):
        assert float(rows[arm]["category_counting_tiny/accuracy"]) >= 0.5, arm
        assert int(rows[arm]["forwards"]) < int(rows[f"iterative_{arm}"]["forwards"]), arm
