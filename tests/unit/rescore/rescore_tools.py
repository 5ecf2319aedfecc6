"""Runs to rescore, made by hand, and the command in this process."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict

import pytest

from lmx_analysis.rescore import mean_and_stderr
from lmx_cli.main import main
from lmx_files.runs.folders import read_run

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


def tiny_run(folder, traces):
    """A run of constraint_tiny whose texts have traces, scored by the task itself."""
    from lmx_models.core.base import Segment
    from lmx_models.core.completion import Completion
    from lmx_models.core.trace import ModelCost, Trace
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
