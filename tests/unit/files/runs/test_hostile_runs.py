"""Whatever lies in a results folder: each command that reads it works or ends in one line, and touches nothing else."""

from __future__ import annotations

import contextlib
import gc
import io
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from lmx_analysis import rescore
from lmx_analysis.compare import comparison
from lmx_analysis.compare import output as compare_output
from lmx_analysis.guided.export import records
from lmx_analysis.guided.runs import choose_tasks, find_guided_runs
from lmx_analysis.guided_curve import curve
from lmx_analysis.guided_curve import output as curve_output
from lmx_analysis.guided_stats import statistics
from lmx_analysis.report import write_report
from lmx_cli.analyses.rescore import _show as show_rescored
from lmx_files import jsonl, manifest
from lmx_files.atomic import write_files
from lmx_files.errors import UserError
from lmx_files.runs.folders import read_run
from lmx_runs.rescore.scorers import Added, find_metric
from lmx_runs.rescore.texts import Responses
from lmx_runs.sweep.arms import Arm
from lmx_runs.sweep.collate import collate
from lmx_runs.sweep.state import ArmState
from tests.unit.files.runs import hostile_runs


def show(*parts):
    """Print tables and notes as on a terminal whose encoding is UTF-8."""
    raw = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    screen = Console(file=raw, width=200)
    for part in parts:
        screen.print(part, markup=False, highlight=False)
    raw.flush()


def compare(run, out):
    result = comparison.compare([run, run.parent / "good"], comparison.Options(resamples=99), ["a", "b"])
    write_files(out, compare_output.files(result))
    show(compare_output.score_table(result), compare_output.difference_table(result), *result.notes)


def report(run, out):
    write_report([run], out / "report.html")


def rescoring(run, out):
    source = read_run(run)
    responses = Responses(source)
    scorers = {task: Added({"structure": find_metric("structure")}, responses.kept) for task in source.sample_files}
    outcome = rescore.rescore(source, scorers, responses.restore, {})
    write_files(out, outcome.files)
    outcome.notes += responses.notes()
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) as screen:
        show_rescored(outcome, source)
        screen.flush()


def guided_curve(run, out):
    found = curve.guided_curve([run], curve.Options(resamples=99))
    write_files(out, curve_output.files(found, plots=False))
    show(curve_output.point_table(found), *found.notes)


def guided_export(run, out):
    runs, notes = find_guided_runs([run])
    tasks = choose_tasks(runs, None)
    jsonl.write(out / "guided.jsonl", records(runs, tasks, None, notes))
    show(*notes)


def guided_stats(run, _out):
    assert statistics.choose([run], statistics.Options()).asked


def collating(run, out):
    results = next(path.name for path in run.iterdir() if path.name.startswith("results_"))
    arm = Arm("arm", "arm", {}, {"model": "guided"}, "", {}, {}, (), run)
    # not validated: a state file cannot name a place outside its sweep, and here the run lies beside
    state = ArmState.model_construct(status="done", results=f"../run/{results}", executor="local")
    show(collate(out, [arm], {"arm": state}))


WATCHER = hostile_runs.Watcher()
COMMANDS = (compare, report, rescoring, guided_curve, guided_export, guided_stats, collating)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a good run, and a file outside that no run may lead to."""
    folder = tmp_path_factory.mktemp("hostile")
    hostile_runs.write_good(folder / "good")
    (folder / "outside").mkdir()
    (folder / "outside" / "secret").write_text(hostile_runs.SECRET)
    return folder


@pytest.fixture(scope="module")
def good(place):
    return hostile_runs.read_tree(place / "good")


@pytest.fixture
def try_out(place, good, monkeypatch):
    """Run one command on the good run with some changes; return its message, empty if it had nothing to refuse."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)  # statsmodels asks for it at each correction
    # of the working folder and the machine, whatever the run is; both start programs
    monkeypatch.setattr(manifest, "git_state", lambda _: None)
    monkeypatch.setattr(manifest, "machine", dict)
    work, secret = place / "work", place / "outside" / "secret"

    def run(command, changes):
        work.mkdir()
        try:
            (work / "good").symlink_to(place / "good")
            hostile_runs.apply(changes, good, work / "run", secret)
            with WATCHER.watching(work / "out", secret):
                try:
                    command(work / "run", work / "out")
                    message = ""
                except UserError as error:
                    message = str(error)
            assert not WATCHER.seen, WATCHER.seen
            assert secret.read_text() == hostile_runs.SECRET
            assert "\n" not in message
            assert len(message) < 1500
            return message
        finally:
            shutil.rmtree(work)

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_good_run_is_read_by_every_command(try_out, command):
    """What is tried out below is refused for what was changed, and not for how the run was made."""
    assert try_out(command, []) == ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
@pytest.mark.parametrize("shape", hostile_runs.SHAPES)
def test_no_file_of_a_run_has_to_be_a_good_one(try_out, good, command, shape):
    for name in good:
        try_out(command, [(name, shape)])


def test_a_trace_that_lacks_the_length_of_its_prompt_is_named(try_out, good):
    [traces] = [name for name in good if name.startswith("traces_")]
    message = try_out(guided_stats, [((traces, (1, "trace", "prompt_tokens")), "drop", 0)])
    assert "document 1 of toy: its trace does not say how many tokens its prompt has" in message


def fuzz(try_out, good, examples):
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(COMMANDS), hostile_runs.spoilt(good))
    def spoil(command, changes):
        try_out(command, changes)

    spoil()


def test_spoilt_runs_end_in_one_line(try_out, good):
    fuzz(try_out, good, 200)


@pytest.mark.full
def test_ten_thousand_spoilt_runs_end_in_one_line(try_out, good):
    fuzz(try_out, good, 10_000)
