"""Samples meet their own traces, and no others."""

from __future__ import annotations

import json

import pytest

from lmx_files.errors import UserError
from lmx_files.runs.folders import find_runs
from lmx_files.runs.join import read_traces, texts_of
from tests.unit.report.report_runs import sample, trace, write_run


def joined(folder, task="toy"):
    """Return the traces of each sample's texts, by document, and what was left out."""
    (run,) = find_runs(folder)
    traces = read_traces(run, lambda line: line["trace"])
    taken = {
        each["doc_id"]: traces.take(task, each, texts_of(each, run.sample_files[task])) for each in run.samples(task)
    }
    return taken, traces.left_out()


def test_the_same_prompt_and_the_same_text_make_a_pair(tmp_path):
    lines = [sample(0, "one"), sample(1, "two")]
    folder = write_run(tmp_path / "a", {"toy": lines}, traces=[trace(each, [], kept=each["doc_id"]) for each in lines])
    taken, left = joined(folder)
    assert [[each["kept"] for each in found] for found in taken.values()] == [[0], [1]]
    assert left == []


def test_two_runs_in_one_file_are_told_apart_by_their_texts(tmp_path):
    """The other run wrote later; the key alone gives its traces to this one."""
    lines = [sample(0, "mine"), sample(1, "same")]
    other = [trace(sample(0, "theirs"), [], kept=90), trace(lines[1], [], kept=91)]
    mine = [trace(lines[0], [], kept=10), trace(lines[1], [], kept=11)]
    taken, left = joined(write_run(tmp_path / "a", {"toy": lines}, traces=[*mine, *other]))
    assert taken[0][0]["kept"] == 10
    assert taken[1] == [None], "two runs wrote the same text in different ways: nothing says which is this run's"
    assert left == [
        "toy: 1 of 2 texts have no trace: 1 with several that differ (a file of several runs: give each run its own)"
    ]


def test_a_text_that_stands_twice_alike_is_joined(tmp_path):
    """A resumed run writes what the journal held once more; only times may differ."""
    lines = [sample(0, "mine")]
    first, again = trace(lines[0], [], seconds=1.0), trace(lines[0], [], seconds=2.0)
    taken, left = joined(write_run(tmp_path / "a", {"toy": lines}, traces=[first, again]))
    assert (taken[0][0]["seconds"], left) == (2.0, [])


def test_traces_that_number_the_documents_of_a_choice_from_nought(tmp_path):
    """Older traces hold the place in `--samples`, the samples file the document's own number."""
    lines = [sample(41, "one"), sample(7, "two"), sample(9, "two", prompt="question 7")]
    old = [trace(each, [], kept=each["doc_id"]) | {"doc_id": place} for place, each in enumerate(lines)]
    taken, left = joined(write_run(tmp_path / "a", {"toy": lines}, traces=old))
    assert taken[41][0]["kept"] == 41
    assert (taken[7], taken[9]) == ([None], [None]), "equal prompts with equal texts: their traces differ"
    assert len(left) == 1


def test_repeats_are_joined_each_with_its_own(tmp_path):
    logged = sample(0, "a", resps=[["a", "b"]])
    lines = [trace(logged, [], kept=1), trace(logged, [], kept=2) | {"repeat": 1, "text": "b"}]
    taken, _ = joined(write_run(tmp_path / "a", {"toy": [logged]}, traces=lines))
    assert [each["kept"] for each in taken[0]] == [1, 2]
    swapped = [lines[0] | {"repeat": 1}, lines[1] | {"repeat": 0}]
    taken, left = joined(write_run(tmp_path / "b", {"toy": [logged]}, traces=swapped))
    assert taken[0] == [None, None]
    assert "2 only with one of another text" in left[0]


def test_files_that_bear_another_runs_stamp_are_that_runs(tmp_path):
    """Of two runs in a folder, plain lm_eval's have no manifest that names their traces."""
    logged = sample(0, "same")
    for stamp, kept in (("2026-01-02T03-04-05.000000", 1), ("2026-01-02T03-04-06.000000", 2)):
        write_run(tmp_path, {"toy": [logged]}, stamp=stamp)
        (tmp_path / f"traces_{stamp}.jsonl").write_text(json.dumps(trace(logged, [], kept=kept)) + "\n")
    for number, run in enumerate(find_runs(tmp_path), 1):
        (found,) = read_traces(run, lambda line: line["trace"]).take("toy", logged, ["same"])
        assert found["kept"] == number


@pytest.mark.parametrize(
    "change",
    [
        {"text": 3},
        {"prompt_hash": None},
        {"trace": []},
        {"doc_id": "0"},
        {"repeat": None},
        {"pieces": [["base"]]},
        {"pieces": [["base", 3]]},
    ],
)
def test_a_line_that_is_no_trace_is_named(tmp_path, change):
    logged = sample(0, "mine")
    folder = write_run(tmp_path / "a", {"toy": [logged]}, traces=[trace(logged, []), trace(logged, []) | change])
    with pytest.raises(UserError, match=r"traces\.jsonl, line 2: not a line of a traces file"):
        joined(folder)


@pytest.mark.parametrize("name", ["../out.jsonl", "/etc/hostname", "a/../../out.jsonl", "nul\0"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path, name):
    logged = sample(0, "mine")
    folder = write_run(tmp_path / "a", {"toy": [logged]}, manifest={"files": {"traces": [name]}})
    (tmp_path / "out.jsonl").write_text(json.dumps(trace(logged, [])) + "\n")
    (run,) = find_runs(folder)
    with pytest.raises(UserError, match="is no file in its folder"):
        run.trace_files()


def test_links_that_lead_out_are_not_followed(tmp_path):
    logged = sample(0, "mine")
    folder = write_run(tmp_path / "a", {"toy": [logged]}, traces=[trace(logged, [])])
    for name in ("traces.jsonl", next(folder.glob("samples_*")).name, next(folder.glob("results_*")).name):
        moved = (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(moved)
        with pytest.raises(UserError, match="leads out of its folder"):
            joined(folder)
        (folder / name).unlink()
        moved.rename(folder / name)
    assert joined(folder)[1] == []
