"""What the report says of runs that are not what they look like: resumed, side by side, cut off, no answers."""

from __future__ import annotations

import json

import pytest

from lmx_analysis.report import write_report
from tests.unit.report.report_runs import sample, write_run
from tests.unit.report.test_report import build, parsed


def with_decoding(folder, **decoding):
    """Put what lmx's models record into the results of a run."""
    (file,) = folder.glob("results_*.json")
    whole = json.loads(file.read_text())
    whole["config"]["decoding"] = decoding
    file.write_text(json.dumps(whole))
    return folder


def test_a_resumed_run_does_not_look_fast(tmp_path):
    """Its seconds are of ten texts, its counts of a hundred."""
    counts = {"texts": 100, "forwards": 1000, "seconds": 10.0, "model_seconds": 90.0}
    fresh = with_decoding(write_run(tmp_path / "a", {"toy": [sample(0, "x")]}), **counts, texts_from_journal=0)
    resumed = with_decoding(write_run(tmp_path / "b", {"toy": [sample(0, "x")]}), **counts, texts_from_journal=90)
    first, second = parsed(build(tmp_path, fresh, resumed)[1], "meta")["runs"]
    assert first["cost"] == {
        "run": {"forwards": 10.0, "seconds": 0.1, "model_seconds": 0.9},
        "tasks": {},
        "evaluation": 12.5,
    }
    assert second["cost"] == {"run": {"forwards": 10.0, "model_seconds": 0.9}, "tasks": {}, "evaluation": None}
    assert any("90 of 100 texts were written by earlier attempts" in note for note in second["notes"])


def test_runs_that_shared_a_machine_are_named(tmp_path):
    def run(name, started, host="here"):
        manifest = {"started": started, "seconds": 60.0, "machine": {"host": host}}
        return write_run(tmp_path / name, {"toy": [sample(0, "x")]}, manifest=manifest, model=name)

    runs = [
        run("a", "2026-01-01T00:00:00+00:00"),
        run("b", "2026-01-01T01:00:30+01:00"),
        run("c", "2026-01-01T00:01:31+00:00"),
        run("d", "2026-01-01T00:00:00+00:00", "there"),
    ]
    (note,) = parsed(build(tmp_path, *runs)[1], "meta")["notes"]
    assert note == "a small, b small: ran at the same time on one machine and shared it, so times are longer"


def test_scores_of_a_make_stage_are_left_out(tmp_path):
    made = with_decoding(write_run(tmp_path / "a", {"toy": [sample(0, "x", acc=1.0)]}), settings={"stage": "make"})
    _, data = build(tmp_path, made)
    meta = parsed(data, "meta")
    assert meta["leaderboard"] == []
    assert "stage=make" in meta["runs"][0]["notes"][0]
    assert "column-0-0-0" not in data


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:2], "it holds 2 of 3 documents: it was cut off"),
        (lambda lines: [], "it holds no samples, 3 documents were evaluated"),
        (lambda lines: [*lines, lines[0]], "1 document: 0 logged more than once"),
    ],
)
def test_samples_that_are_not_whole_are_noted(tmp_path, change, problem):
    run = write_run(tmp_path / "a", {"toy": [sample(i, "x", acc=1.0) for i in range(3)]})
    (file,) = run.glob("results_*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"n-samples": {"toy": {"original": 9, "effective": 3}}}))
    (samples,) = run.glob("samples_*.jsonl")
    samples.write_text("".join(change(samples.read_text().splitlines(keepends=True))))
    (note,) = parsed(build(tmp_path, run)[1], "meta")["notes"]
    assert problem in note
    told: list[str] = []
    write_report([run], tmp_path / "again.html", notes=told)
    assert told == [note]
