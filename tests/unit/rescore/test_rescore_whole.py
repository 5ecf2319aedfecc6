"""`lmx rescore` makes nothing up, refuses what is not whole, and ends in one line."""

from __future__ import annotations

import json

import pytest

from tests.unit.rescore import rescore_tools
from tests.unit.rescore.rescore_tools import STAMP, TASK, UTILS, lines_of, tiny_run

words, lmx = rescore_tools.words, rescore_tools.lmx


def test_without_traces_what_reads_them_keeps_its_logged_value(lmx, tmp_path):
    run = tiny_run(tmp_path / "tiny", traces=False)
    code, out, _ = lmx("rescore", run, "-o", "again")
    assert code == 0
    assert "3 of 3 scored texts have no trace" in out
    assert "not scored again for these, because a trace is needed: stop_eos" in out
    assert lines_of(tmp_path / "again", "constraint_tiny") == lines_of(run, "constraint_tiny")
    assert [line.split()[-3:] for line in out.splitlines() if " stop_eos " in line] == [["0", "of", "3"]]
    assert [line.split()[-3:] for line in out.splitlines() if " n_tokens " in line] == [["0", "of", "3"]]


def test_what_needs_a_trace_stays_for_these_samples_only(lmx, tmp_path):
    """Two of three texts have their traces: the third keeps what was logged, and a mended metric is new for all."""
    run = tiny_run(tmp_path / "tiny", traces=True)
    traces = run / "traces.jsonl"
    lines = traces.read_text().splitlines(keepends=True)
    traces.write_text("".join([lines[0], lines[1], lines[2].replace('"text": "Goal', '"text": "Other')]))
    samples = run / f"samples_constraint_tiny_{STAMP}.jsonl"
    samples.write_text(samples.read_text().replace('"marker_last": 1.0', '"marker_last": 0.0'))
    code, out, err = lmx("rescore", run, "-o", "again")
    assert code == 0, err
    assert "1 of 3 scored texts have no trace (constraint_tiny: 1 of 3 texts have no trace: 1 only with one of" in out
    old, new = lines_of(run, "constraint_tiny"), lines_of(tmp_path / "again", "constraint_tiny")
    assert [line["marker_last"] for line in new] == [1.0] * 3
    for name in ("stop_eos", "stop_unknown", "n_tokens", "tokens_estimated", "repetition"):
        assert [line[name] for line in new] == [line[name] for line in old], name


def test_added_metrics_that_need_a_trace_are_missing_without_one(lmx, tmp_path):
    run = tiny_run(tmp_path / "tiny", traces=False)
    samples = run / f"samples_constraint_tiny_{STAMP}.jsonl"
    logged = [json.loads(line) for line in samples.read_text().splitlines()]
    for line in logged:
        for name in line.pop("metrics"):
            del line[name]
        line["metrics"] = []
    samples.write_text("".join(json.dumps(line) + "\n" for line in logged))
    code, out, err = lmx("rescore", run, "-o", "again", "--metrics", "termination")
    assert code == 0, err
    first = lines_of(tmp_path / "again", "constraint_tiny")[0]
    assert "marker_last" in first
    assert not {"stop_eos", "stop_unknown", "n_tokens"} & set(first)
    assert "a value that was not logged is missing" in out


def test_a_scoring_that_reads_what_cannot_be_tried_keeps_what_was_logged(words, lmx, tmp_path):
    """It reads a field of one method; the made-up traces have no such thing to vary."""
    utils = tmp_path / "tasks" / "reading_utils.py"
    utils.write_text(
        UTILS.replace("len(texts[0])}", "getattr(getattr(texts[0], 'trace', None), 'extra', {}).get('secret', 0)}")
    )
    (tmp_path / "tasks" / "words.yaml").write_text(TASK.replace("words_utils", "reading_utils"))
    code, out, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    assert code == 0, err
    assert lines_of(tmp_path / "again", "rescore_words") == lines_of(words, "rescore_words")
    assert "because a trace is needed: length" in out


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:2], "it holds 2 of 3 documents: it was cut off"),
        (lambda lines: [], "it holds no document"),
        (lambda lines: [*lines, lines[0]], "1 document: 0 logged more than once"),
        (lambda lines: [*lines[:2], lines[2].rstrip()], "line 3: not a line of a samples file: it does not end"),
    ],
)
@pytest.mark.parametrize("metrics", [(), ("--metrics", "structure")])
def test_samples_that_are_not_whole_are_refused(words, lmx, tmp_path, change, problem, metrics):
    samples = words / f"samples_rescore_words_{STAMP}.jsonl"
    samples.write_text("".join(change(samples.read_text().splitlines(keepends=True))))
    code, _, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks", *metrics)
    assert code == 2
    assert problem in err or "it holds no samples, 3 documents were evaluated" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("told", [None, {}, {"original": 9}, {"original": 9, "effective": None}])
def test_results_without_counts_of_documents_tell_by_their_values(words, lmx, told):
    """Older results, and those of other hands, have only how many values each mean was made of."""
    results, samples = words / f"results_{STAMP}.json", words / f"samples_rescore_words_{STAMP}.jsonl"
    whole = json.loads(results.read_text())
    whole["n-samples"] = {} if told is None else {"rescore_words": told}
    results.write_text(json.dumps(whole))
    assert lmx("rescore", words, "-o", "whole", "--include-path", "tasks")[0] == 0
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:2]))
    code, _, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    assert code == 2
    assert "it holds 2 of 3 documents: it was cut off" in err


def test_a_task_that_is_not_known_is_one_short_line(words, lmx):
    code, _, err = lmx("rescore", words, "-o", "again")
    assert (code, err.count("\n")) == (2, 1)
    assert "no task 'rescore_words' is lm_eval's or a plugin's" in err
    assert "--include-path" in err
    assert len(err) < 300


def test_scoring_that_runs_code_of_a_model_is_asked_for(words, lmx, tmp_path):
    (tmp_path / "tasks" / "words.yaml").write_text(TASK + "unsafe_code: true\n")
    arguments = ("rescore", words, "-o", "again", "--include_path", "tasks")
    code, _, err = lmx(*arguments)
    assert code == 2
    assert "give --confirm_run_unsafe_code" in err
    assert lmx(*arguments, "--confirm_run_unsafe_code")[0] == 0


def test_an_output_that_cannot_be_written_names_its_flag(words, lmx):
    for command in (("rescore", words), ("compare", words, words)):
        code, _, err = lmx(*command, "-o", "/proc/nowhere")
        assert code == 2
        assert "Give -o a folder that you may write to" in err


def test_a_scoring_that_fails_is_one_line(words, lmx, tmp_path):
    utils = tmp_path / "tasks" / "failing_utils.py"
    utils.write_text(UTILS.replace('return {"exact"', 'raise ValueError("two\\nlines")\n    return {"exact"'))
    (tmp_path / "tasks" / "words.yaml").write_text(TASK.replace("words_utils", "failing_utils"))
    code, _, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    assert (code, err.count("\n")) == (2, 1)
    assert "the scoring of rescore_words failed on document 0: ValueError: two lines" in err
