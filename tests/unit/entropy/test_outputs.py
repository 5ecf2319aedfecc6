"""What `lmx entropy` leaves: every file of the study, pictures in both reports; what it refuses, with nothing left."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lmx_analysis.entropy import results
from lmx_analysis.sections import find_sections, pictures_of, read_section
from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_probes.entropy import measurement as measuring
from lmx_probes.entropy.inputs import from_prompts
from tests.unit.entropy.test_measure import PROMPTS, RESULTS, options, run_folder, sample
from tests.unit.report.test_sections import chunks, studies

STAMP = "20260101_000000"
NAMES = ("tiny-base", "tiny-oracle")
EXPECTED = [
    *(f"aggregated_{name}_stats_{STAMP}.csv" for name in NAMES),
    *(f"{name}_token_analysis_{which}_{STAMP}.csv" for name in NAMES for which in ("current", "next")),
    *(f"{name}_token_stats.csv" for name in NAMES),
    *(f"{kind}_{STAMP}.json" for kind in ("summary_stats", "qcut_analysis", "model_comparison")),
    "prompt_level_results.csv",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished analysis of two models over all prompts that lmx ships, with right and wrong answers planted."""
    out = tmp_path_factory.mktemp("entropy")
    inputs = from_prompts(PROMPTS, texts=True)
    inputs.items = [type(item)(**{**vars(item), "correct": float(i % 2)}) for i, item in enumerate(inputs.items)]
    measuring.entropy(inputs, options(out), STAMP)
    results.write(out, "trial <b>", plots=True)
    return out


def read(path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


def test_every_file_of_the_study_is_there_and_they_agree(folder):
    prompts = len(from_prompts(PROMPTS, texts=True).items)
    for name in EXPECTED:
        assert (folder / name).is_file(), name
    for i in range(1, prompts + 1):
        names = {path.name for path in (folder / f"prompt_{i}").iterdir()}
        assert names == {*(f"{name}_stats_{STAMP}.csv" for name in NAMES), f"generated_texts_{STAMP}.json"}
    for name in NAMES:
        whole = read(folder / f"aggregated_{name}_stats_{STAMP}.csv")
        parts = [read(folder / f"prompt_{i}/{name}_stats_{STAMP}.csv") for i in range(1, prompts + 1)]
        pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True))
        steps = read(folder / f"{name}_token_stats.csv")
        assert list(steps["generation_step"]) == [step for part in parts for step in range(len(part))]
        for which in ("current", "next"):
            by_token = read(folder / f"{name}_token_analysis_{which}_{STAMP}.csv").set_index(f"{which}_token")
            means = whole.groupby(f"{which}_token")["entropy"].mean()
            assert np.allclose(by_token["entropy_mean"].reindex(means.index), means)
        level = read(folder / "prompt_level_results.csv").query("model == @name")
        assert np.allclose(level["mean_entropy"], [part["entropy"].mean() for part in parts])
        described = json.loads((folder / f"summary_stats_{STAMP}.json").read_text())[f"{name}_entropy_stats"]
        assert described == pytest.approx(dict(whole["entropy"].describe()))


def test_all_pictures_stand_in_both_reports(folder):
    pictures = sorted(path.name for path in (folder / "figures").glob("*.png"))
    assert {"distributions.png", "by_position.png", "right_and_wrong.png", "deciles.png", "forking_overlap.png"} <= set(
        pictures
    )
    page = (folder / "report.html").read_text()
    inline = {base64.b64decode(each) for each in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)}
    assert inline == {(folder / "figures" / name).read_bytes() for name in pictures}
    [file] = find_sections(folder)
    section = read_section(file)
    shown = {picture.file: content for picture, content in pictures_of(section, folder)}
    assert shown == {f"figures/{name}": (folder / "figures" / name).read_bytes() for name in pictures}
    assert all(picture.caption for picture in section.pictures)
    assert {"overview", "divergence", "tests between models", "forking overlap"} <= {t.title for t in section.tables}
    overview = next(table for table in section.tables if table.title == "overview")
    whole = read(folder / f"aggregated_{NAMES[0]}_stats_{STAMP}.csv")
    assert overview.rows[0][overview.columns.index("mean_entropy")] == pytest.approx(whole["entropy"].mean())
    assert section.pages == ["report.html"]


def test_lmx_report_shows_the_section(folder, tmp_path):
    done = CliRunner().invoke(app, ["report", str(folder), "-o", str(tmp_path / "all.html")])
    assert done.exit_code == 0, done.output
    (shown,) = studies(tmp_path / "all.html")
    assert shown["title"] == "Entropy of tiny-base, tiny-oracle (trial <b>)"
    assert len(shown["pictures"]) == len(list((folder / "figures").glob("*.png")))
    assert all(chunks(tmp_path / "all.html")[picture["chunk"]] for picture in shown["pictures"])


def mixed(folder, metrics=("acc", "f1")):
    """A run of two tasks, each with a metric of its own."""
    runs = json.loads(json.dumps(RESULTS))
    for i, (task, metric) in enumerate(zip(("t", "u"), metrics, strict=True)):
        runs["results"][task] = {"alias": task, f"{metric},none": 0.5}
        runs.setdefault("higher_is_better", {})[task] = {metric: True}
        runs["configs"][task] = {"metric_list": [{"metric": metric}]}
        runs["n-samples"][task] = {"original": 1, "effective": 1}
        line = {**sample([[f" {i}"]]), "metrics": [metric], metric: 1.0}
        runs.setdefault("lines", {})[task] = line
    lines = runs.pop("lines")
    run_folder(folder, [lines["t"]], runs)
    (folder / "samples_u_2026-01-01T00-00-00.000000.jsonl").write_text(json.dumps(lines["u"]) + "\n")
    return folder


def a_run(folder, text: str):
    run_folder(folder, [], RESULTS)
    next(folder.glob("samples_*")).write_text(text)
    return folder


GOOD = json.dumps(sample([[" 4"]])) + "\n"
CASES = {
    "samples without text": (lambda f: a_run(f, json.dumps(sample([[[-1.5, True]]])) + "\n"), "likelihoods, not texts"),
    "truncated": (lambda f: a_run(f, GOOD + GOOD[:60]), "line 2"),
    "empty run": (lambda f: a_run(f, ""), "no samples"),
    "mixed tasks": (mixed, "mixed.*--task"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_runs_are_one_line_and_nothing_is_written(tmp_path, case):
    make, why = CASES[case]
    source, out = make(tmp_path / "run"), tmp_path / "out"
    arguments = ["entropy", str(source), "--models", "tiny-base", "--output_dir", str(out), "--no-plots"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, (UserError, SystemExit))
    message = str(done.exception) if isinstance(done.exception, UserError) else done.output
    assert re.search(why, message), message
    assert len(message.strip().splitlines()) == 1
    assert not out.exists()


def test_one_of_mixed_tasks_can_be_chosen(tmp_path):
    source = mixed(tmp_path / "run")
    for arguments, count in ((["--task", "u"], 1), ([], 2)):
        same = source if arguments else mixed(tmp_path / "same", ("acc", "acc"))
        out = tmp_path / f"out{count}"
        command = ["entropy", str(same), *arguments, "--models", "tiny-base", "-o", str(out), "--no-plots"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output + repr(done.exception)
        assert len(read(out / "prompt_level_results.csv")) == count


def test_a_metric_that_is_no_verdict_is_told(tmp_path):
    source = mixed(tmp_path / "run", ("f1", "f1"))
    for path in source.glob("samples_*"):
        path.write_text(path.read_text().replace('"f1": 1.0', '"f1": 0.3'))
    command = ["entropy", str(source), "--models", "tiny-base", "-o", str(tmp_path / "out"), "--no-plots"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output + repr(done.exception)
    told = " ".join(done.output.split())
    assert "the metric is not 0 or 1 everywhere (e.g. 0.3): name one that is with --metric" in told
