"""`lmx rescore`: an unchanged run keeps every value, a mended metric changes them, and the outcome is a run."""

from __future__ import annotations

import hashlib

import pytest

from lmx_analysis.rescore import mean_and_stderr
from lmx_files.runs.folders import read_run
from tests.unit.rescore import rescore_tools
from tests.unit.rescore.rescore_tools import STAMP, TASK, UTILS, lines_of, tiny_run, write_run

words, lmx = rescore_tools.words, rescore_tools.lmx


def test_an_unchanged_task_gives_the_same_files(words, lmx, tmp_path):
    code, out, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    assert code == 0, err
    old, new = read_run(words), read_run(tmp_path / "again")
    assert new.sample_files["rescore_words"].read_bytes() == old.sample_files["rescore_words"].read_bytes()
    assert new.results["results"]["rescore_words"] == old.results["results"]["rescore_words"]
    assert "0 of 3" in out
    assert "group" not in new.results["results"]
    assert "groups" not in new.results
    assert "left out, not rescored: group" in out


def test_where_it_came_from_is_recorded(words, lmx, tmp_path):
    lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    origin = read_run(tmp_path / "again").results["config"]["rescored_from"]
    assert origin["sha256"] == hashlib.sha256((words / f"results_{STAMP}.json").read_bytes()).hexdigest()
    assert len(origin["samples"]["rescore_words"]["sha256"]) == 64
    assert origin["metrics"] == "process_results of the task"
    assert {"lmx-eval", "lm_eval", "traces", "machine", "git", "settings"} <= set(origin)
    assert origin["inputs"][str(words / f"results_{STAMP}.json")] == origin["sha256"]


def test_a_mended_metric_changes_values_and_compares(words, lmx, tmp_path):
    """The new scoring strips the text; version and scoring code of the task go along."""
    utils = tmp_path / "tasks" / "mended_utils.py"
    utils.write_text(UTILS.replace('text == doc["answer"]', 'text.strip() == doc["answer"]'))
    task = TASK.replace("words_utils", "mended_utils").replace("version: 1.0", "version: 2.0")
    (tmp_path / "tasks" / "words.yaml").write_text(task)
    code, out, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    assert code == 0, err
    exact = next(line.split() for line in out.splitlines() if " exact " in line)
    assert exact == ["rescore_words", "none", "exact", "0.3333", "0.6667", "1", "of", "3"]
    assert [line["exact"] for line in lines_of(tmp_path / "again", "rescore_words")] == [1.0, 0.0, 1.0]
    results = read_run(tmp_path / "again").results
    assert results["versions"]["rescore_words"] == 2.0
    assert results["configs"]["rescore_words"]["metadata"]["asked"] == 1
    assert "strip()" in results["configs"]["rescore_words"]["process_results"]
    code, out, _ = lmx("compare", words, "again")
    assert code == 0
    assert "+0.3333" in out
    assert "task version is 1.0 in the reference, 2.0 here" in out


def test_the_standard_error_is_lm_evals(words, lmx, tmp_path):
    from lm_eval.api.metrics import mean_stderr

    lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    values = read_run(tmp_path / "again").results["results"]["rescore_words"]
    assert values["exact_stderr,none"] == mean_stderr([1.0, 0.0, 0.0])
    assert mean_and_stderr([2.0]) == (2.0, "N/A")


def test_likelihoods_get_their_types_back(words, lmx, tmp_path):
    choice = {"question": "Which?", "answer": 1, "choices": ["a", "bb"]}
    logged = [["-3.5", "False"], ["-12.25", "True"]]
    better = [["-13.5", "False"], ["-2.25", "True"]]
    samples = [(choice, logged, {"acc": 0.0}), (choice, better, {"acc": 1.0})]
    run = write_run(tmp_path / "choice", "rescore_choice", samples, kind="multiple_choice")
    code, _, err = lmx("rescore", run, "-o", "again", "--include-path", "tasks")
    assert code == 0, err
    assert [line["acc"] for line in lines_of(tmp_path / "again", "rescore_choice")] == [0.0, 1.0]
    code, _, err = lmx("rescore", run, "-o", "more", "--metrics", "structure")
    assert code == 2
    assert "this task logged likelihoods" in err


def test_texts_get_their_traces_back(lmx, tmp_path):
    run = tiny_run(tmp_path / "tiny", traces=True)
    code, out, err = lmx("rescore", run, "-o", "again")
    assert code == 0, err
    assert lines_of(tmp_path / "again", "constraint_tiny") == lines_of(run, "constraint_tiny")
    assert "have no trace" not in out


def test_metrics_of_a_user_are_added(words, lmx, tmp_path):
    (tmp_path / "added_metrics.py").write_text(
        "def letters(doc, text):\n    return len(text)\n\n"
        "def both(doc, text):\n    return {'starts': text[0] == 'y', 'share': doc['share']}\n"
    )
    names = "added_metrics:letters,added_metrics:both"
    code, _, err = lmx("rescore", words, "-o", "again", "--metrics", names)
    assert code == 0, err
    first = lines_of(tmp_path / "again", "rescore_words")[0]
    assert first["metrics"] == ["exact", "length", "letters", "starts", "share"]
    assert (first["exact"], first["letters"], first["starts"], first["share"]) == (1.0, 3.0, 1.0, 0.0)
    values = read_run(tmp_path / "again").results["results"]["rescore_words"]
    assert values["letters,none"] == pytest.approx(3.0)
    assert values["exact,none"] == pytest.approx(1 / 3)
    assert lmx("compare", words, "again", "--metrics", "exact")[0] == 0


def test_over_repeats_an_added_metric_is_a_mean(tmp_path, lmx):
    run = write_run(tmp_path / "run", "t", [(rescore_tools.doc(0), [["a", "abc"]], {"x": 1.0})])
    (tmp_path / "repeat_metrics.py").write_text("def letters(doc, text):\n    return len(text)\n")
    assert lmx("rescore", run, "-o", "again", "--metrics", "repeat_metrics:letters")[0] == 0
    assert lines_of(tmp_path / "again", "t")[0]["letters"] == 2.0


def test_shipped_and_registered_metrics_have_names(words, lmx, tmp_path):
    code, _, err = lmx("rescore", words, "-o", "again", "--metrics", "termination,exact_match")
    assert code == 0, err
    lines = lines_of(tmp_path / "again", "rescore_words")
    assert [line["exact_match"] for line in lines] == [1.0, 0.0, 0.0]
    assert lines[0]["marker_emitted"] == 0.0


def test_an_edited_document_is_refused_by_number(words, lmx):
    file = words / f"samples_rescore_words_{STAMP}.jsonl"
    file.write_text(file.read_text().replace('"id": 1', '"id": 7'))
    code, _, err = lmx("rescore", words, "-o", "again", "--include-path", "tasks")
    assert code == 2
    assert "1 document: 1" in err
    assert "doc_hash" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "rescore_word"], "unknown task 'rescore_word': did you mean 'rescore_words'?"),
        (["--metrics", "bad_metrics:text"], "text is 'yes', not a number, on document 0"),
        (["--metrics", "bad_metrics:fails"], "failed on document 0: KeyError: 'nothing'"),
        (["--metrics", "bad_metrics:gone"], "cannot be imported"),
        (["--metrics", "no_such_module:f"], "cannot be imported"),
        (["--metrics", "bad_metrics:NUMBER"], "is not a function"),
        (["--metrics", "exact_mach"], "unknown metric 'exact_mach': did you mean 'exact_match'?"),
        (["--metrics", ","], "names nothing"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, lmx, tmp_path, arguments, message):
    (tmp_path / "bad_metrics.py").write_text(
        "NUMBER = 3\ndef text(doc, text):\n    return text\n\ndef fails(doc, text):\n    return doc['nothing']\n"
    )
    code, _, err = lmx("rescore", words, "-o", "again", *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "again").exists()


def test_a_folder_with_a_run_is_not_written_to(words, lmx):
    code, _, err = lmx("rescore", words, "-o", words)
    assert code == 2
    assert "holds a run already" in err


def test_without_samples(words, lmx):
    (words / f"samples_rescore_words_{STAMP}.jsonl").unlink()
    code, _, err = lmx("rescore", words, "-o", "again")
    assert code == 2
    assert "run with --log_samples" in err
