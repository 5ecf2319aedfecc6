"""What the report says of each run: its name, its settings, its pictures."""

from __future__ import annotations

from lmx_analysis.report import summary
from lmx_files.runs.folders import find_runs
from tests.unit.report.report_runs import STAMP, write_run


def test_labels_tell_equal_runs_apart(tmp_path):
    for name, c, oracle in (("a", 3, "x/large"), ("b", 5, "x/large"), ("c", 3, "x/huge")):
        write_run(tmp_path / name, {"toy": []}, model="guided", oracle=oracle, c=c)
    write_run(tmp_path / "d", {"toy": []})
    write_run(tmp_path / "e", {"toy": []}, stamp="2027-01-01T00-00-00.000000")
    labels = summary.labels([run for name in "abcde" for run in find_runs(tmp_path / name)])
    assert labels == [
        "guided small + large c=3",
        "guided small + large c=5",
        "guided small + huge",
        f"ar small {STAMP}",
        "ar small 2027-01-01T00-00-00.000000",
    ]


def test_the_header_takes_what_the_manifest_has(tmp_path):
    manifest = {"command": ["lmx", "run"], "versions": {"torch": "2.13"}, "git": {"commit": "abc"}, "machine": None}
    run = write_run(tmp_path / "a", {"toy": []}, manifest=manifest)
    (described,) = [summary.describe(found, "name") for found in find_runs(run)]
    settings = described["settings"]
    assert settings["run.command"] == "lmx run"
    assert settings["run.git.commit"] == "abc"
    assert settings["versions.torch"] == "2.13"
    assert settings["versions.lm_eval"] == "0.4.13"
    assert settings["model.pretrained"] == "small"
    assert described["date"] == "2026-01-02 03:04 UTC"
    assert not any(name.startswith("machine") for name in settings)


def test_plots_are_linked_by_paths_that_cannot_be_schemes(tmp_path):
    run = write_run(tmp_path / "runs" / "a", {"toy": []})
    for name in ("curve.png", "javascript:alert(1).svg", "notes.txt"):
        (run / name).write_text("")
    links = summary.plots(find_runs(run)[0], tmp_path / "out" / "report.html")
    assert [link["href"] for link in links] == ["./../runs/a/curve.png", "./../runs/a/javascript%3Aalert%281%29.svg"]
