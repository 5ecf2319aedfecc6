"""What `lmx run` asks of the files that lm_eval left, before it says that the run is done."""

from __future__ import annotations

import json

import pytest

from lmx_files.errors import UserError
from lmx_files.runs.folders import read_results
from lmx_runs import outputs
from tests.unit.report.report_runs import STAMP, sample, trace, write_run


@pytest.fixture
def results(tmp_path):
    """The results file of a run that evaluated three of nine documents."""
    folder = write_run(tmp_path / "run", {"toy": [sample(i, f"text {i}", acc=1.0) for i in range(3)]})
    file = folder / f"results_{STAMP}.json"
    whole = json.loads(file.read_text()) | {"n-samples": {"toy": {"original": 9, "effective": 3}}}
    file.write_text(json.dumps(whole))
    return file


def samples_of(results):
    return results.parent / f"samples_toy_{STAMP}.jsonl"


def test_whole_samples_are_returned(results):
    assert outputs.check_samples(results, read_results(results)) == [samples_of(results)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:2], "it holds 2 of 3 documents: it was cut off"),
        (lambda lines: [], "it holds no samples, 3 documents were evaluated"),
        (lambda lines: [*lines, lines[0]], "1 document: 0 logged more than once"),
        (lambda lines: [*lines[:2], lines[2].rstrip()], "line 3: .*it does not end, so the file was cut off"),
        (lambda lines: [*lines[:2], lines[2][:40] + "\n"], "line 3: not a line of a samples file"),
        (lambda lines: None, "the samples of toy are missing"),
    ],
)
def test_what_is_not_whole_ends_the_run(results, change, problem):
    lines = change(samples_of(results).read_text().splitlines(keepends=True))
    samples_of(results).unlink()
    if lines is not None:
        samples_of(results).write_text("".join(lines))
    with pytest.raises(UserError, match=problem):
        outputs.check_samples(results, read_results(results))


def test_each_filter_is_counted(results):
    lines = samples_of(results).read_text().splitlines(keepends=True)
    strict = [json.dumps(json.loads(line) | {"filter": "strict"}) + "\n" for line in lines]
    samples_of(results).write_text("".join([*lines, *strict]))
    assert outputs.check_samples(results, read_results(results))
    samples_of(results).write_text("".join([*lines, *strict[:2]]))
    with pytest.raises(UserError, match="it holds 2 of 3 documents under the filter 'strict'"):
        outputs.check_samples(results, read_results(results))


def test_torn_traces_end_the_run(tmp_path):
    file = tmp_path / "traces.jsonl"
    text = json.dumps(trace(sample(0, "text"), [])) + "\n"
    file.write_text(text * 2)
    outputs.check_traces([file])
    file.write_text(text + text[:-1])
    with pytest.raises(UserError, match="line 2: not a line of a traces file: it does not end"):
        outputs.check_traces([file])
