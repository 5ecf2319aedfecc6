"""`lmx rescore`: an unchanged run keeps every value, a mended metric changes them, and the outcome is a run."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict

import pytest

from lmx_analysis.rescore import mean_and_stderr
from lmx_analysis.runs import read_run
from lmx_cli.main import main

STAMP = "2026-01-01T00-00-00.000000"
TASK = """
task: rescore_words
custom_dataset: !function words_utils.nothing
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
process_results: !function words_utils.process_results
metric_list:
  - {metric: exact, aggregation: mean, higher_is_better: true}
  - {metric: length, aggregation: !function words_utils.longest, higher_is_better: false}
metadata: {version: 1.0}
"""
UTILS = """
def nothing(**_):
    raise AssertionError("no data set is needed")

def longest(values):
    return max(values)

def process_results(doc, results):
    texts = results[0] if isinstance(results[0], list) else [results[0]]
    exact = sum(text == doc["answer"] for text in texts) / len(texts)
    return {"exact": exact, "length": len(texts[0])}
"""
CHOICE = """
task: rescore_choice
custom_dataset: !function words_utils.nothing
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def write_run(folder, task, samples, kind="generate_until", **config):
    """Write a run as lm_eval does. `samples`: document, filtered responses, metric values."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, columns = [], {}
    for number, (doc, responses, metrics) in enumerate(samples):
        for name, value in metrics.items():
            columns.setdefault(name, []).append(value)
        line = {
            "doc_id": number,
            "doc": doc,
            "target": str(doc.get("answer", "")),
            "resps": [[each] if isinstance(each, str) else each for each in responses],
            "filtered_resps": responses,
            "filter": "none",
            "metrics": list(metrics),
            "doc_hash": sha(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": sha(doc["question"] if "question" in doc else doc["prompt"]),
            "target_hash": sha(str(doc.get("answer", ""))),
            **metrics,
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    (folder / f"samples_{task}_{STAMP}.jsonl").write_text("".join(lines), encoding="utf-8")
    values = {"name": task, "alias": task, "sample_len": len(samples)}
    for name, column in columns.items():
        if all(isinstance(value, (int, float)) for value in column):
            values[f"{name},none"], values[f"{name}_stderr,none"] = mean_and_stderr(column)
    whole = {
        "results": {task: values, "group": {"alias": "group", "exact,none": 1.0}},
        "groups": {"group": {"alias": "group", "exact,none": 1.0}},
        "configs": {task: {"task": task, "output_type": kind, "metadata": {"version": 1.0, "asked": 1}}},
        "versions": {task: 1.0},
        "higher_is_better": {task: dict.fromkeys(columns, True)},
        "n-samples": {task: {"original": 9, "effective": len(samples)}},
        "config": {"model": "fixture", "bootstrap_iters": 1000, **config},
        "lm_eval_version": "0.4.13",
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(whole))
    return folder


def doc(number, answer="yes"):
    return {"id": number, "question": f"Question {number}, über alles?", "answer": answer, "share": 0.1 * number}


@pytest.fixture
def words(tmp_path):
    """A run of three documents, one right, with the task's folder."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "words.yaml").write_text(TASK)
    (tmp_path / "tasks" / "choice.yaml").write_text(CHOICE)
    (tmp_path / "tasks" / "words_utils.py").write_text(UTILS)
    texts = ["yes", "no", " yes"]
    samples = [(doc(i), [text], {"exact": float(text == "yes"), "length": len(text)}) for i, text in enumerate(texts)]
    run = write_run(tmp_path / "run", "rescore_words", samples)
    results = run / f"results_{STAMP}.json"
    whole = json.loads(results.read_text())
    whole["results"]["rescore_words"] |= {"length,none": 4, "length_stderr,none": "N/A"}
    results.write_text(json.dumps(whole))
    return run


@pytest.fixture
def lmx(monkeypatch, capsys, tmp_path):
    """Run the command in this process; return its exit status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmx", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return run


def lines_of(run, task):
    return list(read_run(run).samples(task))


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
    assert {"lmx-eval", "lm_eval", "traces"} <= set(origin)


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


def tiny_run(folder, traces):
    """A run of constraint_tiny whose texts have traces, scored by the task itself."""
    from lmx_models.completion import Completion
    from lmx_models.decoding.base import Segment
    from lmx_models.decoding.trace import ModelCost, Trace
    from lmx_tasks.constraint_tiny.utils import process_results

    samples, lines = [], []
    for number in range(3):
        one = {"id": str(number), "domain": "d", "prompt": f"p{number}", "factor": "a", "subject": "b", "measure": "c"}
        text = f"Goal\nMeasure {number}.\n\n<END>"
        cost = {"ar": ModelCost(forwards=5, prefill=7, decode=4)}
        trace = Trace([5, 6, 7, 1], [Segment("ar", 0, 4)], "eos", prompt_tokens=7, cost=cost)
        metrics = json.loads(json.dumps(process_results(one, [Completion(text, trace)])))
        samples.append((one, [text], metrics))
        record = {"task": "constraint_tiny", "doc_id": number, "repeat": 0, "prompt_hash": sha(one["prompt"])}
        lines.append(json.dumps(record | {"text": text, "trace": trace.as_dict()}) + "\n")
    run = write_run(folder, "constraint_tiny", samples)
    if traces:
        (folder / "traces.jsonl").write_text("".join(lines))
    assert asdict(trace)["segments"] == [{"source": "ar", "start": 0, "end": 4}]
    return run


def test_texts_get_their_traces_back(lmx, tmp_path):
    run = tiny_run(tmp_path / "tiny", traces=True)
    code, out, err = lmx("rescore", run, "-o", "again")
    assert code == 0, err
    assert lines_of(tmp_path / "again", "constraint_tiny") == lines_of(run, "constraint_tiny")
    assert "have no trace" not in out


def test_without_traces_what_reads_them_keeps_its_logged_value(lmx, tmp_path):
    run = tiny_run(tmp_path / "tiny", traces=False)
    code, out, _ = lmx("rescore", run, "-o", "again")
    assert code == 0
    assert "3 of 3 scored texts have no trace" in out
    assert "not scored again for these, because a trace is needed: stop_eos" in out
    assert lines_of(tmp_path / "again", "constraint_tiny") == lines_of(run, "constraint_tiny")
    assert [line.split()[-3:] for line in out.splitlines() if " stop_eos " in line] == [["0", "of", "3"]]
    assert [line.split()[-3:] for line in out.splitlines() if " n_tokens " in line] == [["0", "of", "3"]]


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
    run = write_run(tmp_path / "run", "t", [(doc(0), [["a", "abc"]], {"x": 1.0})])
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
