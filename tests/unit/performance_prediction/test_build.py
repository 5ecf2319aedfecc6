"""The data set from results: columns, what is refused, and losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lmx_analysis.performance_prediction import data, tasks_file
from lmx_analysis.performance_prediction.build import Options, build
from lmx_analysis.performance_prediction.combine import combine
from lmx_analysis.performance_prediction.tasks_file import About
from lmx_files.atomic import write_files
from lmx_files.errors import UserError
from tests.unit.report.report_runs import sample, write_run

LATER = "2026-01-02T04-04-05.000000"


def lines(metric: str = "rougeL", scale: float = 1.0, tasks: int = 3, prompt: str = "", **more: Any) -> list[Any]:
    """Two instances each of some tasks; task t has scores 10 t and 10 t + 20, times `scale`."""
    made = []
    for t in range(tasks):
        for i in range(2):
            doc = {"task": f"t{t}", "id": f"t{t}-{i}", "definition": f"Do thing {t}.", "category": "c"} | more
            values = {metric: scale * (10 * t + 20 * i)}
            made.append(sample(2 * t + i, "x", f"{prompt}prompt {t} {i}", doc=doc, **values))
    return made


def test_columns_scores_and_variances(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {"superni": lines(), "superni_loss": lines("loss", 0.1)})
    built = build([run])
    write_files(tmp_path / "set", data.files(built.rows))
    frame = pd.read_csv(tmp_path / "set" / "dataset.csv")
    assert tuple(frame.columns) == data.COLUMNS
    assert frame["predict_rougeL"].tolist() == [10.0, 20.0, 30.0]
    assert frame["predict_loss"].tolist() == [1.0, 2.0, 3.0]
    assert frame["predict_exact_match"].isna().all()
    assert frame["model"].unique().tolist() == ["small"]
    whole = pd.read_parquet(tmp_path / "set" / "dataset.parquet")
    assert whole["variance_rougeL"].tolist() == [200.0] * 3  # of (0, 20), unbiased
    assert data.read(tmp_path / "set") == built.rows
    assert [row.scores["rougeL"].mean for row in data.read(tmp_path / "set" / "dataset.csv")] == [10.0, 20.0, 30.0]


def test_rates_become_percent_and_are_noted(tmp_path: Path) -> None:
    made = [sample(i, "x", doc={"question": str(i)}, acc=float(i == 0)) for i in range(4)]
    built = build([write_run(tmp_path / "a", {"quiz": made})], {"quiz": About("Answer the question.", "qa", ("q",))})
    assert built.rows[0].scores["exact_match"].mean == 25.0
    assert built.rows[0].sources == ("q",)
    assert "multiplied by 100" in built.notes[0]


def test_results_without_samples_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {"superni": lines()})
    for file in run.glob("samples_*"):
        file.unlink()
    with pytest.raises(UserError, match=r"has no samples.*--log_samples"):
        build([run])


def test_two_runs_of_other_prompts_are_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a", {"superni": lines()})
    other = write_run(tmp_path / "b", {"superni": lines(prompt="Please: ")}, stamp=LATER, pretrained="large")
    with pytest.raises(UserError, match="task 't0' had other prompts"):
        build([one, other])
    assert len(build([one, other], options=Options(allow_different_prompts=True)).rows) == 6
    same = write_run(tmp_path / "c", {"superni": lines()}, stamp=LATER, pretrained="large")
    assert len(build([one, same]).rows) == 6


def test_one_model_twice_is_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a", {"superni": lines()})
    again = write_run(tmp_path / "b", {"superni": lines()}, stamp=LATER)
    with pytest.raises(UserError, match=r"task 't0' of model 'small' has rougeL in .* and again in"):
        build([one, again])
    assert len(build([one, one / f"results_{'2026-01-02T03-04-05.000000'}.json"]).rows) == 3  # one run named twice


@pytest.mark.parametrize("definition", ["", "  ", None])
def test_a_task_without_definition_is_refused(tmp_path: Path, definition: str | None) -> None:
    run = write_run(tmp_path / "a", {"superni": lines(definition=definition)})
    with pytest.raises(UserError, match=r"task 't0' .* has no definition.*--tasks"):
        build([run])


def test_an_instance_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    made = lines()
    made[1]["doc"]["id"] = made[0]["doc"]["id"]
    with pytest.raises(UserError, match="has instance 't0-0' twice"):
        build([write_run(tmp_path / "a", {"superni": made})])


@pytest.mark.parametrize(("metric", "scale"), [("loss", -0.1), ("rougeL", 10.0)])
def test_scores_out_of_range_are_refused(tmp_path: Path, metric: str, scale: float) -> None:
    with pytest.raises(UserError, match=r"its sign is wrong|not from 0 to 100"):
        build([write_run(tmp_path / "a", {"superni": lines(metric, scale)})])


def test_files_of_tasks(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    row = {"Task": "t0", "Definition": ["Do it."], "Categories": ["c"], "Source": ["squad"]}
    file.write_text(json.dumps(row) + "\n")
    assert tasks_file.read(file) == {"t0": About("Do it.", "c", ("squad",))}
    file.write_text((json.dumps(row) + "\n") * 2)
    with pytest.raises(UserError, match="line 2: task 't0' is there twice"):
        tasks_file.read(file)
    broken = tmp_path / "tasks.jsonl.gz"
    broken.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UserError, match="line 1: not a whole gzip file"):
        tasks_file.read(broken)


def test_losses_are_merged_by_task_and_model(tmp_path: Path) -> None:
    rows = build([write_run(tmp_path / "a", {"superni": lines()})]).rows
    table = tmp_path / "loss.csv"
    table.write_text("task,model,predict_loss\nt2,small,3.5\nt1,small,2.5\nt0,small,1.5\n")
    merged = combine(rows, table)
    assert [row.scores["loss"].mean for row in merged] == [1.5, 2.5, 3.5]
    table.write_text("task,model,predict_loss\nt0,small,1.75\nt1,small,2.5\nt2,small,3.5\n")
    with pytest.raises(UserError, match=r"has loss 1\.5 already"):
        combine(merged, table)
    assert combine(merged, table, replace=True)[0].scores["loss"].mean == 1.75


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,model,predict_loss\nt0,small,1\n", "no loss for 2 of 3 rows"),
        ("task,model,predict_loss\nt0,small,1\nt0,small,1\n", "is there twice"),
        ("task,model,predict_loss\nt0,small,-1\n", "its sign is wrong"),
        ("task,model,predict_loss\nt0,small,much\n", "'much' is not a number"),
        ("task,predict_loss\nt0,1\n", "needs the columns"),
        ("", "cannot read"),
    ],
)
def test_tables_of_losses_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    rows = build([write_run(tmp_path / "a", {"superni": lines()})]).rows
    table = tmp_path / "loss.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=message):
        combine(rows, table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="definition"), "no column 'definition'"),
        (lambda f: f.assign(definition=None), "has no definition"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "is there twice for model"),
        (lambda f: f.assign(predict_rougeL=["1", "2", "x"]), "row 2, predict_rougeL: 'x' is not a number"),
    ],
)
def test_data_sets_that_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    rows = build([write_run(tmp_path / "a", {"superni": lines()})]).rows
    write_files(tmp_path, data.files(rows))
    change(pd.read_csv(tmp_path / "dataset.csv")).to_csv(tmp_path / "changed.csv", index=False)
    with pytest.raises(UserError, match=message):
        data.read(tmp_path / "changed.csv")
