"""A screened study goes on after a kill in any process, is not spoilt by another one, and says how it was tested."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow as pa
import pytest

from lmx_files.errors import UserError
from lmx_files.runs.folders import read_run
from lmx_probes.mediation import study
from lmx_probes.mediation.parts import Parts
from lmx_probes.mediation.subject import Subject
from tests.unit.mediation.counting_run import write_run

SCREENED = {"components": ("residual", "mlp"), "pairs": 8, "screen": 0.1, "controls": 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


def measured(run, output, progress=lambda numbers: numbers, **asked):
    options = study.Options(**{**SCREENED, **asked})
    return study.run_study(read_run(run), output, Subject("tiny-oracle"), "cpu", "float32", options, progress)


class StoppedError(Exception):
    pass


def stopped(numbers):
    """Stop at the second part; the screen, which comes first, reads its pairs to the end."""
    for number in numbers:
        if len(numbers) == 2 and number == 1:
            raise StoppedError
        yield number


def test_a_finished_study_is_run_again_by_a_process_with_other_hashes(run, tmp_path):
    command = [
        sys.executable, "-m", "lmx_cli.main", "mediate", str(run), "-o", str(tmp_path), "--components", "residual",
        "--screen", "0.2", "--pairs", "4", "--lists", "0", "--bootstrap", "99", "--no-plots", "--device", "cpu",
    ]  # fmt: skip
    kept = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        kept.append((tmp_path / "effects.parquet").read_bytes())
    assert kept[0] == kept[1]


def test_a_stopped_study_goes_on_with_the_cells_that_were_chosen(run, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        measured(run, tmp_path / "a", stopped)
    assert len(list((tmp_path / "a" / "parts").glob("*.done"))) == 1
    monkeypatch.setattr(study, "screen", lambda *_: pytest.fail("screened again"))
    measured(run, tmp_path / "a")
    monkeypatch.undo()
    measured(run, tmp_path / "b")
    for name in ("effects", "pairs", "controls", "screen"):
        assert (tmp_path / "a" / f"{name}.parquet").read_bytes() == (tmp_path / "b" / f"{name}.parquet").read_bytes()


def test_another_study_leaves_what_was_screened(run, tmp_path):
    measured(run, tmp_path)
    before = (tmp_path / "screen.parquet").read_bytes()
    for other in ({"screen": 0.5}, {"seed": 5}, {"screen": 1.0}):
        with pytest.raises(UserError, match="holds measurements of other pairs"):
            measured(run, tmp_path, **other)
        assert (tmp_path / "screen.parquet").read_bytes() == before


def test_a_folder_in_which_nothing_was_finished_is_free_for_another_plan(tmp_path):
    table = pa.table({"a": [1]})
    Parts(tmp_path, {"plan": 1})
    other = Parts(tmp_path, {"plan": 2})
    assert not other.has(0)
    other.write(0, {"x": table})
    assert Parts(tmp_path, {"plan": 2}).has(0)
    assert Parts(tmp_path, {"plan": 2}).joined("x") == table
    with pytest.raises(UserError, match="other pairs"):
        Parts(tmp_path, {"plan": 1})
