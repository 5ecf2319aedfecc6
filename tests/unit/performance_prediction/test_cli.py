"""The commands, from a run's files to the table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lmx_analysis.performance_prediction import data
from lmx_analysis.sections import FILE, read_section
from lmx_cli.main import app
from lmx_files.atomic import write_files
from lmx_files.errors import UserError
from tests.unit.performance_prediction.planted import planted
from tests.unit.performance_prediction.test_build import lines
from tests.unit.report.report_runs import write_run


def run(*arguments: str | Path) -> str:
    """Run `lmx perfpred`; a refusal is raised as it is."""
    done = CliRunner().invoke(app, ["perfpred", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_from_results_to_the_table(tmp_path: Path) -> None:
    results = write_run(tmp_path / "run", {"superni": lines(tasks=8), "superni_loss": lines("loss", tasks=8)})
    for t in (tmp_path / "one", tmp_path / "two"):
        assert "8 rows, 1 model(s)" in run("build", results, "-o", t)
    assert (tmp_path / "one" / "dataset.csv").read_bytes() == (tmp_path / "two" / "dataset.csv").read_bytes()
    assert "8 rows" in run("combine", tmp_path / "one", tmp_path / "two", "-o", tmp_path / "both")
    assert len(data.read(tmp_path / "both")[0].scores) == 2


def test_train_and_aggregate(tmp_path: Path) -> None:
    write_files(tmp_path / "set", data.files(planted(60, 0.3, 1)))
    names = "mean,category_mean,tfidf_ridge"
    run("train", tmp_path / "set", "-o", tmp_path / "ours", "--predictors", names)
    run("train", tmp_path / "set", "-o", tmp_path / "theirs", "--predictors", names, "--protocol", "published")
    kept = json.loads((tmp_path / "ours" / "train.json").read_text())
    assert kept["options"]["protocol"] == "source"
    assert kept["inputs"] == {str(tmp_path / "set"): kept["sha256"]}
    assert {"machine", "git", "seeds", "settings", "versions"} <= set(kept)
    printed = run("aggregate", tmp_path / "ours", tmp_path / "theirs", "-o", tmp_path / "out")
    assert "does not beat the mean: category_mean" in printed
    about = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(about["inputs"]) == 2
    assert about["settings"] == {"level": 0.9}
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table["protocol"].tolist() == ["source"] * 3 + ["published"] * 3
    assert table["tasks"].tolist()[:3] == [60] * 3
    assert table["rmse_seeds_sd"].notna().tolist() == [False] * 3 + [True] * 3
    for name in ("predicted_against_true", "residuals_by_category", "coverage"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    shown = read_section(tmp_path / "out" / FILE)
    assert [table.title.split(", ")[1] for table in shown.tables[:2]] == ["protocol source", "protocol published"]
    assert len(shown.pictures) == 3
    assert all(row[-2] not in (None, "") for table in shown.tables[:2] for row in table.rows)


def test_the_studys_csv_is_enough(tmp_path: Path) -> None:
    write_files(tmp_path, data.files(planted(40, 0.3, 1)))
    run("train", tmp_path / "dataset.csv", "-o", tmp_path / "out", "--predictors", "mean,tfidf_ridge,pilot1")
    printed = run("aggregate", tmp_path / "out")
    assert "tfidf_ridge" in printed
    assert "pilot1" not in printed  # the CSV has no instances' scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere", "-o", "out"], "nowhere is no data set"),
        (["aggregate", "nowhere"], "nowhere holds no predictions.parquet"),
        (["build", "nowhere", "-o", "out"], "there is no folder or results file nowhere"),
        (["build", "nowhere", "-o", "out.csv"], "is a file: name a folder"),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run(*arguments)
    assert not list(tmp_path.iterdir())
