"""The names, tables and files of `lmx compare`, and mistakes of its user."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from lmx_analysis.compare.arms import short_names
from lmx_analysis.compare.comparison import Options, compare
from lmx_analysis.report.summary import leaderboard
from lmx_analysis.stats import newcombe
from lmx_files.runs.folders import read_run
from tests.unit.analysis.compare_tools import STAMP, acc, command, two_runs, write_run


@pytest.fixture
def two(tmp_path):
    return two_runs(tmp_path)


@pytest.fixture
def lmx(monkeypatch, capsys):
    return command(monkeypatch, capsys)


def test_names_from_paths():
    assert short_names([Path("/r/x/guided"), Path("/r/x/ar")]) == ["guided", "ar"]
    assert short_names([Path("/r/x/out"), Path("/r/y/out")]) == ["x/out", "y/out"]
    assert short_names([Path("/r/out"), Path("/r/out")]) == ["out", "out#2"]
    assert short_names([Path(f"/r/out/results_{n}.json") for n in "ab"]) == ["results_a", "results_b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metrics", "acd"], "unknown metric 'acd': did you mean 'acc'?"),
        (["--tasks", "tt"], "unknown task 'tt'"),
        (["--reference", "x"], "unknown --reference 'x'. Valid: a, b"),
        (["--names", "x"], "--names x: give 2 different names"),
        (["--names", "x,x"], "--names x,x: give 2 different names"),
        (["--metrics", ","], "--metrics ',' names nothing"),
        (["-o", "x.json"], "is a file: name a folder"),
        (["-o", "/proc/no"], "cannot be written"),
    ],
)
def test_mistakes_are_one_line(two, lmx, arguments, message):
    code, out, err = lmx("compare", *two, *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_one_run_is_not_enough(two, lmx):
    code, _, err = lmx("compare", two[0])
    assert code == 2
    assert "1 run given: name two or more" in err


def test_a_damaged_samples_file_is_named(two, lmx):
    file = two[1] / f"samples_t_{STAMP}.jsonl"
    file.write_text(file.read_text().replace('"prompt_hash"', '"prompt_hush"', 1))
    code, _, err = lmx("compare", *two)
    assert code == 2
    assert f"{file.name}, sample 1: not a line of a samples file" in err


def test_the_tables(two, lmx):
    code, out, _ = lmx("compare", *two)
    assert code == 0
    scores, differences = (" ".join(line.split()) for line in out.splitlines() if line.startswith("t "))
    ends = newcombe(2, 8, 0, 2)
    assert scores == "t 1.0 none 0 acc ↑ 0.1667 ± 0.1000 0.8333 ± 0.1000 12"
    tested = f"{ends.low:+.4f} to {ends.high:+.4f} 0.0078 0.0078 0.0078 better McNemar exact"
    assert differences == f"t none acc ↑ 12 +0.6667 {tested}"
    assert "Paired differences: b minus a (Holm over 1 row)" in out


def test_a_standard_error_of_zero_is_none(tmp_path, lmx):
    """Three texts that are all right do not show that no text is wrong."""
    runs = [write_run(tmp_path / n, {"t": acc(1, 1, 1)}) for n in "ab"]
    for run in runs:
        (file,) = run.glob("results_*.json")
        whole = json.loads(file.read_text())
        whole["results"]["t"]["acc_stderr,none"] = 0.0
        file.write_text(json.dumps(whole))
    assert compare(runs, Options()).scores[0].scores["a"].stderr is None
    _, out, _ = lmx("compare", *runs)
    assert "± 0.0000" not in out
    (task,) = leaderboard([read_run(runs[0])])
    assert task["rows"][0]["values"] == [[1.0, None, 3]]


def test_the_files(two, lmx, tmp_path):
    folder = tmp_path / "deep" / "out"
    code, out, _ = lmx("compare", *two, "-o", folder, "--json")
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["compare.json", "differences.csv", "scores.csv"]
    whole = json.loads((folder / "compare.json").read_text())
    assert json.loads(out) == whole
    assert whole["settings"]["seed"] == 1234
    assert len(whole["runs"]["a"]["samples"]["t"]["sha256"]) == 64
    assert {"python", "lmx-eval", "numpy", "scipy", "statsmodels"} <= set(whole["versions"])
    assert whole["inputs"][whole["runs"]["a"]["file"]] == whole["runs"]["a"]["sha256"]
    assert whole["seeds"] == {"sign flips": 1234}
    assert whole["machine"]["system"]
    (row,) = csv.DictReader((folder / "differences.csv").open())
    assert float(row["p_holm"]) == pytest.approx(0.0078125)
    assert row["verdict"] == "better"
    assert len(list(csv.DictReader((folder / "scores.csv").open()))) == 2


def test_what_has_no_number_is_null_in_json(tmp_path, lmx):
    runs = [write_run(tmp_path / name, {"t": [{"x": 0.5, "y": 1.0}] * 3}) for name in "ab"]
    code, out, _ = lmx("compare", *runs, "--metrics", "x", "--json")
    assert code == 0
    first, second = json.loads(out, parse_constant=lambda name: pytest.fail(name))["differences"]
    assert (first["low"], first["p"], first["p_holm"]) == (None, 1.0, 1.0)
    assert second["p_holm"] is None
