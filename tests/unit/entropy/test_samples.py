"""What is taken from samples files as lm_eval writes them: texts, gold answers, what is right, and what is left out."""

from __future__ import annotations

import json
import math

import pytest

from lmx_files.errors import UserError
from lmx_files.runs.join import texts_of
from lmx_probes.entropy.inputs import from_prompts
from lmx_probes.entropy.samples import from_run
from tests.unit.entropy.test_measure import RESULTS, run_folder, sample

STAMP = "2026-01-01T00-00-00.000000"


def call(*arguments):
    return {f"arg_{i}": argument for i, argument in enumerate(arguments)}


def calls(*each):
    return {f"gen_args_{i}": one for i, one in enumerate(each)}


def results(config=None, **more):
    return {**RESULTS, "configs": {"t": config or {}}, **more}


def gold(folder, line, config=None, **more):
    found = from_run(run_folder(folder, [line], results(config, **more)), "gold")
    return [(item.prompt, item.text) for item in found.items]


CHOICES = calls(*(call("Q:", f" {word}") for word in ("red", "green", "blue")))


@pytest.mark.parametrize(
    ("target", "text"),
    [("2", " blue"), ("green", " green"), ("[1, 2]", " green"), ("True", " green"), ("['blue', 'red']", " blue")],
)
def test_the_right_choice_is_scored_and_not_its_number(tmp_path, target, text):
    line = sample([[[-1.0, False]]] * 3, target=target, arguments=CHOICES)
    assert gold(tmp_path / "r", line) == [("Q:", text)]


def test_requests_without_a_context_are_no_choices(tmp_path):
    more = calls(*CHOICES.values(), *(call("", f" {word}") for word in ("red", "green", "blue")))
    assert gold(tmp_path / "r", sample([], target="1", arguments=more)) == [("Q:", " green")]


def test_choices_that_are_digits_are_told_by_the_accuracy(tmp_path):
    digits = calls(*(call("Q:", f" {digit}") for digit in (1, 2, 3)))
    # The run took the third. It was right: so "2" is the number of the third, and not the text of the second.
    line = sample([], target="2", arguments=digits, filtered_resps=[[-3.0, 0], [-2.0, 0], [-1.0, 1]], acc=1.0)
    assert gold(tmp_path / "a", line) == [("Q:", " 3")]
    line = {**line, "filtered_resps": [[-3.0, 0], [-1.0, 0], [-2.0, 0]]}
    assert gold(tmp_path / "b", line) == [("Q:", " 2")]


@pytest.mark.parametrize(
    ("target", "config", "doc", "text"),
    [
        ("['Paris', 'paris']", {}, {}, " Paris"),
        ("four", {"target_delimiter": "\n"}, {}, "\nfour"),
        ("four", {"target_delimiter": ""}, {}, "four"),
        ("four", {"gen_prefix": "A:", "target_delimiter": "\n"}, {}, " four"),
        ("[1, 2]", {"doc_to_target": "answer"}, {"answer": "[1, 2]"}, " [1, 2]"),  # a column that holds this very text
        ("['a']", {"doc_to_target": "answer"}, {"answer": ["a"]}, " a"),
        ("None", {"doc_to_target": "answer"}, {"answer": "None"}, " None"),
        ("(see above", {}, {}, " (see above"),
    ],
)
def test_answers_are_read_back_from_the_text_that_lm_eval_makes_of_them(tmp_path, target, config, doc, text):
    assert gold(tmp_path / "r", sample([["x"]], target=target, doc=doc), config) == [("2 and 2:", text)]


def test_behind_a_chat_template_nothing_stands_between(tmp_path):
    assert gold(tmp_path / "r", sample([["x"]]), chat_template="{{ x }}") == [("2 and 2:", "four")]


def test_a_continuation_is_its_request_and_a_page_is_itself(tmp_path):
    line = sample([[[-1.0, True]]], target="?", arguments=calls(call("He went to", " the sea")))
    assert gold(tmp_path / "a", line) == [("He went to", " the sea")]
    line = sample([["-123.4"]], target="?", arguments=calls(call("A page.")))
    assert gold(tmp_path / "b", line) == [("", "A page.")]


@pytest.mark.parametrize("target", ["None", "[]", "", " ", "7", "-1"])
def test_documents_without_an_answer_are_counted(tmp_path, target):
    more = {"arguments": CHOICES} if target in ("7", "-1") else {}
    lines = [sample([["x"]], target=target, **more), sample([["x"]], doc_id=1)]
    lines.append(sample([["x"]], doc_id=2, target="None"))
    folder = run_folder(tmp_path / "r", lines, results(**{"n-samples": {"t": {"original": 3, "effective": 3}}}))
    found = from_run(folder, "gold")
    assert [item.doc_id for item in found.items] == [1]
    assert "2 documents of t name no answer as text (target): left out" in found.notes
    with pytest.raises(UserError, match="nothing to score in t: 1 documents of t name no answer"):
        from_run(run_folder(tmp_path / "none", lines[:1], RESULTS), "gold")


def test_the_likelihood_of_a_page_is_no_text(tmp_path):
    line = sample([["-123.4"]], arguments=calls(call("A page.")))
    assert texts_of(line, tmp_path) is None
    assert texts_of(sample([["-123.4"]]), tmp_path) == ["-123.4"]  # an answer that is a number
    with pytest.raises(UserError, match="likelihoods, not texts"):
        from_run(run_folder(tmp_path / "r", [line], RESULTS), "logged")
    with pytest.raises(UserError, match="are pages, so there is no prompt"):
        from_run(tmp_path / "r", None)


def test_prompts_alone_are_taken_from_any_run(tmp_path):
    folder = run_folder(tmp_path / "r", [sample([[[-1.0, False]]] * 3, arguments=CHOICES)], RESULTS)
    names = iter("ab")
    found = from_run(folder, None, metric=lambda _run, _task: next(names))
    assert [(item.prompt, item.text) for item in found.items] == [("Q:", None)]


def test_what_is_right_is_of_the_first_text_alone(tmp_path):
    folder = run_folder(tmp_path / "r", [sample([["a", "b", "c"]])], RESULTS)
    found = from_run(folder, "logged", metric=lambda _run, _task: "acc")
    assert [item.correct for item in found.items][:1] == [1.0]
    assert all(math.isnan(item.correct) for item in found.items[1:])
    assert any("2 texts count neither as right nor as wrong" in note for note in found.notes)


@pytest.mark.parametrize(
    ("config", "filtered"),
    [({"filter_list": [{"name": "none", "filter": [{"function": "majority_vote"}]}]}, ["a"]), ({}, [["a", "b", "c"]])],
)
def test_what_is_of_all_texts_together_is_of_none_of_them(tmp_path, config, filtered):
    line = sample([["a", "b", "c"]], filtered_resps=filtered)
    found = from_run(run_folder(tmp_path / "r", [line], results(config)), "logged", metric=lambda _r, _t: "acc")
    assert all(math.isnan(item.correct) for item in found.items)
    assert any("3 texts count neither" in note for note in found.notes)


def test_a_value_for_each_text_is_taken(tmp_path):
    line = sample([["a", "b"]], acc=[0.0, 1.0])
    found = from_run(run_folder(tmp_path / "r", [line], RESULTS), "logged", metric=lambda _r, _t: "acc")
    assert [item.correct for item in found.items] == [0.0, 1.0]


def test_empty_texts_are_one_note(tmp_path):
    lines = [sample([[""]], doc_id=i) for i in range(3)] + [sample([["x"]], doc_id=3)]
    folder = run_folder(tmp_path / "r", lines, results(**{"n-samples": {"t": {"original": 4, "effective": 4}}}))
    found = from_run(folder, "logged")
    assert found.notes == ["3 texts of t are empty: left out"]


@pytest.mark.parametrize("name", [f"samples_t_{STAMP}.jsonl", "mine.jsonl"])
def test_a_samples_file_is_a_run(tmp_path, name):
    folder = run_folder(tmp_path / "r", [sample([[" 4"]])], results({"target_delimiter": "\n"}))
    (folder / f"samples_t_{STAMP}.jsonl").rename(folder / name)
    found = from_run(folder / name, "logged", metric=lambda _r, _t: "acc")
    task = "t" if name.startswith("samples") else "mine"
    assert [(i.task, i.prompt, i.text, i.correct) for i in found.items] == [(task, "2 and 2:", " 4", 1.0)]
    assert folder / name in found.files
    # Beside its results, what they say of the task holds.
    expected = "\nfour" if task == "t" else " four"
    assert from_run(folder / name, "gold").items[0].text == expected
    with pytest.raises(UserError, match="unknown task"):
        from_run(folder / name, "logged", task="other")


def test_a_samples_file_alone_needs_no_results(tmp_path):
    folder = run_folder(tmp_path / "r", [sample([[" 4"]])], RESULTS)
    (folder / f"results_{STAMP}.json").unlink()
    found = from_run(folder / f"samples_t_{STAMP}.jsonl", "logged")
    assert [item.text for item in found.items] == [" 4"]
    assert found.writer is None


def test_traces_are_among_the_files(tmp_path):
    folder = run_folder(tmp_path / "r", [sample([[" 4"]])], RESULTS)
    trace = {"task": "t", "doc_id": 0, "prompt_hash": "p", "text": " 4", "repeat": 0, "trace": {"tokens": [1]}}
    (folder / f"traces_{STAMP}.jsonl").write_text(json.dumps(trace) + "\n")
    found = from_run(folder, "logged")
    assert folder / f"traces_{STAMP}.jsonl" in found.files
    assert found.items[0].tokens == (1,)


def test_prompts_without_a_last_line_feed_are_whole(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "text": "b"}\n{"prompt": "c", "text": "d"}')
    assert [item.prompt for item in from_prompts(path, texts=True).items] == ["a", "c"]
    path.write_text('{"prompt": "a", "text": "b"}\n{"prompt": "c", "te')
    with pytest.raises(UserError, match="line 2"):
        from_prompts(path, texts=True)


def test_lines_of_a_text_file_end_with_line_feeds_only(tmp_path):
    path = tmp_path / "p.txt"
    path.write_bytes("\ufeffone\u2028two\r\nthree\x0cfour\u0085five\n\n".encode())
    found = from_prompts(path, texts=False)
    assert [item.prompt for item in found.items] == ["one\u2028two", "three\x0cfour\u0085five"]
