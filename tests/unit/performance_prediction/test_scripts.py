"""The scripts under the study's names, with its flags."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

from lmx_analysis.performance_prediction import data
from lmx_files.atomic import write_files
from tests.unit.performance_prediction.planted import planted
from tests.unit.performance_prediction.test_build import lines
from tests.unit.performance_prediction.trained_tools import roberta
from tests.unit.report.report_runs import write_run

FOLDER = Path(__file__).parents[3] / "scripts" / "performance_prediction"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a script and return what it prints."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def run(name: str, *arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                raise
        return capsys.readouterr().out

    return run


def test_data_set_and_losses(tmp_path: Path, script) -> None:  # type: ignore[no-untyped-def]
    results = write_run(tmp_path / "run", {"superni": lines()})
    script("convert_eval_results_to_perf_pred_dataset", results, tmp_path / "set.csv")
    (tmp_path / "losses.json").write_text(json.dumps({"t0": 1.5, "t1": 2.5, "t2": 3.5}))
    script("combine_scores_with_perf_pred_dataset", tmp_path / "set.csv", tmp_path / "losses.json", "--outfile",
           tmp_path / "both.csv")  # fmt: skip
    both = pd.read_csv(tmp_path / "both.csv")
    assert tuple(both.columns) == data.COLUMNS
    assert both["predict_loss"].tolist() == [1.5, 2.5, 3.5]


def test_training_and_tables(tmp_path: Path, script) -> None:  # type: ignore[no-untyped-def]
    write_files(tmp_path, data.files(planted(40, 0.3, 1)))
    model = roberta(tmp_path / "roberta")
    flags = ["--data_file", tmp_path / "dataset.csv", "--model_name", model, "--num_train_epochs", "1",
             "--learning_rate", "1e-4", "--per_device_train_batch_size", "8", "--max_length", "32"]  # fmt: skip
    for seed in (42, 43):
        script("run_perf_pred_roberta", *flags, "--output_dir", tmp_path / f"out{seed}", "--seed", seed)
    compared = script("compare_to_mean_baseline", tmp_path / "out42", tmp_path / "out43")
    rows = [line.split() for line in compared.splitlines() if "published" in line]
    assert [row[4] for row in rows] == ["mean", "roberta"]
    assert rows[0][5:8] == rows[0][8:11]  # the mean's RMSE and deviation, twice
    assert rows[0][11:] == ["0", "of", "2"]
    assert "rougeL of m0, protocol published, raw" in script("aggr_perf_pred_results", tmp_path / "out42")
