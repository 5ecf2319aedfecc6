"""`lmx mediate` from a run to its results: resumed, checked, and refused in one line where it cannot be done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from lmx_analysis.mediation import results
from lmx_analysis.mediation.estimates import Settings
from lmx_analysis.report import write_report
from lmx_analysis.sections import read_section
from lmx_cli.analyses.mediate import mediate
from lmx_files.errors import UserError
from lmx_files.runs.folders import read_run
from lmx_probes.mediation import study
from lmx_probes.mediation.subject import Subject
from lmx_tasks.category_counting import generate
from tests.unit.mediation.counting_run import TASK, write_run
from tests.unit.report.test_sections import studies

OWN = Subject("tiny-oracle")


def options(**given):
    settings = {
        "run": None, "output": None, "model": None, "task": None, "components": "residual,attention", "layers": "",
        "heads": "", "roles": "", "pairs": 8, "controls": 0.25, "screen": 1.0, "lists": 0, "one_way": False,
        "device": "cpu", "dtype": "float32", "bootstrap": 99, "seed": 1234, "no_plots": True,
    }  # fmt: skip
    return {**settings, **given}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "mediation"
    mediate(**options(run=run, output=output, components="residual,attention,mlp,head", lists=6, no_plots=False))
    return output


def test_the_files_of_a_study(finished):
    names = {path.name for path in finished.iterdir()}
    assert {
        "effects.parquet", "pairs.parquet", "controls.parquet", "mediation_results.json", "mediation_study.json",
        "cells_all.csv", "cells_right.csv", "map_residual.png", "map_residual_interaction.svg", "map_heads.png",
        "layer_importance_residual.png", "count_transfer.csv", "running_count_probe.csv", "steering.csv",
    } <= names  # fmt: skip
    found = json.loads((finished / "mediation_results.json").read_text())
    assert found["pairs"]["all"] == 8
    for layer in found["layers_by_component"]["residual"]:
        assert {"total_effect", "direct_effect", "indirect_effect", "proportion_mediated", "layer", "role"} <= set(
            layer
        )
        assert layer["role"] not in ("all", "before")
    assert found["controls"]["self_patch_largest_change"] == 0.0
    assert 0.0 <= found["controls"]["self_patch_computed_again_largest_change"] < 1e-4
    assert found["controls"]["position_before_the_word_largest_share"] == 0.0


def test_the_report_shows_a_study_without_cells_by_construction(finished, tmp_path):
    section = read_section(finished / "report_section.json")
    assert section.analysis == "mediate"
    shown = {picture.file for picture in section.pictures}
    assert {"map_residual.png", "map_heads.png", "layer_importance_residual.png"} <= shown
    assert all((finished / name).is_file() for name in shown)
    tables = {table.title: table for table in section.tables}
    cells = pd.read_parquet(finished / "cells_all.parquet")
    marked = set(map(tuple, cells.loc[cells["by_construction"] != "", ["component", "layer", "role"]].to_numpy()))
    strongest = tables["Strongest cells"].rows
    assert strongest
    assert not marked & {(row[0], row[1], str(row[3]).replace(" ", "_")) for row in strongest}
    assert sum(row[1] for row in tables["Cells that say nothing"].rows) == (cells["by_construction"] != "").sum()
    (shown,) = studies(write_report([finished], tmp_path / "report.html"))
    assert shown["title"] == section.title
    assert len(shown["pictures"]) == len(section.pictures)


def test_identities_hold_in_every_row(finished):
    effects = pd.read_parquet(finished / "effects.parquet")
    assert (effects["te"] - effects["nde"] - effects["tie"]).abs().max() < 1e-9
    assert (effects["te"] - effects["nde"] - effects["nie"] - effects["interaction"]).abs().max() < 1e-9
    everything = effects[effects["role"] == "all"]
    assert (everything["nie"] - everything["te"]).abs().max() < 1e-4
    assert (effects.loc[effects["role"] == "before", "nie"] == 0).all()
    pairs = pd.read_parquet(finished / "pairs.parquet")
    assert set(pairs["kind"]) <= {"add", "remove", "target", "distractor"}
    assert (pairs["moves"] == pairs["kind"].isin(("add", "remove"))).all()


def test_the_tiny_oracle_counts_where_the_answer_is_read_and_keeps_no_running_count(finished):
    cells = pd.read_parquet(finished / "cells_all.parquet").set_index(["component", "layer", "head", "role"])
    share = cells["proportion_mediated"]
    assert share["residual", 1, -1, "cue"] > 0.8
    assert max(abs(share["residual", layer, -1, "later_separator"]) for layer in range(3)) < 0.05
    said = json.loads((finished / "mediation_results.json").read_text())["conclusions"]
    assert any("no running count is seen" in line for line in said)


def test_pictures_and_tables_are_made_again_without_a_model(finished, monkeypatch):
    before = (finished / "mediation_results.json").read_bytes()
    for name in ("mediation_results.json", "map_residual.png", "cells_all.csv"):
        (finished / name).unlink()
    monkeypatch.setattr(study, "load_patcher", lambda *_: pytest.fail("a model was loaded"))
    mediate(**options(output=finished, no_plots=False))
    assert (finished / "mediation_results.json").read_bytes() == before
    assert (finished / "map_residual.png").is_file()


class StoppedError(Exception):
    pass


def test_an_interrupted_measurement_goes_on(run, tmp_path):
    asked = study.Options(components=("residual",), pairs=10)

    def stopping(parts):
        for number, part in enumerate(parts):
            if number == 2:
                raise StoppedError
            yield part

    with pytest.raises(StoppedError):
        study.run_study(read_run(run), tmp_path / "a", OWN, "cpu", "float32", asked, stopping)
    assert len(list((tmp_path / "a" / "parts").glob("*.done"))) == 2
    assert not (tmp_path / "a" / "effects.parquet").exists()
    done = []
    study.run_study(
        read_run(run), tmp_path / "a", OWN, "cpu", "float32", asked, lambda parts: done.extend(parts) or parts
    )
    assert 0 not in done
    assert 1 not in done
    study.run_study(read_run(run), tmp_path / "b", OWN, "cpu", "float32", asked, lambda parts: parts)
    for name in ("effects", "pairs", "controls"):
        assert (tmp_path / "a" / f"{name}.parquet").read_bytes() == (tmp_path / "b" / f"{name}.parquet").read_bytes()


def test_another_study_does_not_go_on_with_what_is_there(run, tmp_path):
    asked = study.Options(components=("residual",), pairs=4, both=False)
    study.run_study(read_run(run), tmp_path, OWN, "cpu", "float32", asked, lambda parts: parts)
    other = study.Options(components=("residual",), pairs=4, both=False, seed=5)
    with pytest.raises(UserError, match="holds measurements of other pairs"):
        study.run_study(read_run(run), tmp_path, OWN, "cpu", "float32", other, lambda parts: parts)


def test_a_screened_study_measures_what_was_chosen(run, tmp_path):
    mediate(**options(run=run, output=tmp_path, components="residual,attention,mlp,head", screen=0.1))
    screen = pd.read_parquet(tmp_path / "screen.parquet")
    effects = pd.read_parquet(tmp_path / "effects.parquet")
    keys = ["component", "layer", "head", "role"]
    measured = set(map(tuple, effects[keys].drop_duplicates().to_numpy().tolist()))
    assert measured == set(map(tuple, screen.loc[screen["chosen"], keys].to_numpy().tolist()))
    free = screen[screen["ranked"]]
    assert free["chosen"].sum() == round(0.1 * len(free))
    assert not free["role"].isin(("all", "before")).any()


def docs(**changes):
    item = generate.generate(40, 7)[3]
    doc = {name: getattr(item, name) for name in ("prompt", "category", "position", "count", "length")}
    return [{**doc, **changes}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"items": [{"question": "2 + 2", "answer": "4"}], "task": "arithmetic"}, "not a counting question"),
        ({"items": docs(prompt="How many of these words are birds?\nWords: owl, hat\n")}, "template|word lists"),
        ({"items": docs(position="after")}, "before the list"),
        ({"items": docs(count=99)}, "its count is 99"),
        ({"items": docs(category="ideas")}, "no category 'ideas'"),
    ],
)
def test_samples_of_something_else_are_refused_in_one_line(given, message, tmp_path):
    run = write_run(tmp_path / "run", given["items"], task=given.get("task", TASK))
    with pytest.raises(UserError, match=message) as caught:
        mediate(**options(run=run, output=tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"components": "residual,atention"}, "unknown component 'atention': did you mean 'attention'"),
        ({"layers": "0-9"}, "no layer 3: the model's are 0 to 2"),
        ({"layers": "last"}, "give numbers with commas or a range"),
        ({"layers": "2-0"}, r"the range 2-0 has nothing in it: write 0-2"),
        ({"layers": ","}, "no number is named"),
        ({"components": ","}, "no component is named: give some of residual, attention"),
        ({"roles": ","}, "no role is named: give some of swapped_item"),
        ({"components": "mlp", "roles": "all,before"}, "measured of the residual stream only"),
        ({"heads": "7", "components": "head"}, "no head 7"),
        ({"roles": "cues"}, "unknown role 'cues': did you mean 'cue'"),
        ({"dtype": "float8"}, "unknown --dtype"),
        ({"model": "no-such-model"}, "no-such-model"),
        ({"task": "other"}, "unknown task 'other'"),
    ],
)
def test_what_does_not_exist_is_named(given, message, run, tmp_path):
    with pytest.raises(UserError, match=message):
        mediate(**options(run=run, output=tmp_path / "out", **given))


def test_a_closed_model_is_refused(tmp_path):
    run = write_run(tmp_path / "run", 3)
    file = next(run.glob("results_*.json"))
    found = json.loads(file.read_text())
    found["config"] = {"model": "openai-chat-completions", "model_args": {"model": "gpt-4o"}}
    file.write_text(json.dumps(found))
    with pytest.raises(UserError, match=r"no weights here.*--model"):
        mediate(**options(run=run, output=tmp_path / "out"))


def test_an_empty_folder_has_nothing_to_analyse(tmp_path):
    with pytest.raises(UserError, match="holds no finished measurement"):
        results.read(tmp_path)
    assert Settings().resamples == 2000


@pytest.mark.full
def test_a_thousand_pairs_killed_and_resumed(tmp_path):
    """The process is killed, not asked to stop; the second one ends with the same files as one that ran through."""
    run = write_run(tmp_path / "run", 1000)
    command = [
        sys.executable, "-m", "lmx_cli.main", "mediate", str(run), "--components", "residual", "--layers", "1",
        "--roles", "cue,later_separator,swapped_item", "--lists", "0", "--controls", "0", "--bootstrap", "99",
        "--no-plots",
    ]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen([*command, "-o", str(tmp_path / "a")], env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "a" / "parts").glob("*.done"))) < 30 and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = len(list((tmp_path / "a" / "parts").glob("*.done")))
    assert 30 <= done < 250
    for folder in ("a", "b"):
        subprocess.run([*command, "-o", str(tmp_path / folder)], env=env, check=True, capture_output=True)
    for name in ("effects.parquet", "pairs.parquet", "mediation_results.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(pd.read_parquet(tmp_path / "a" / "pairs.parquet")) == 1000
