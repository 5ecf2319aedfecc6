"""Training text of the tiny family and constraint_tiny: right answers, and nothing that is held out."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import pytest
import yaml

from lmx_files.errors import UserError
from lmx_metrics import structure
from lmx_tasks.category_counting import generate as counting
from lmx_tasks.constraint_tiny import generate as sections
from lmx_tasks.constraint_tiny import utils
from training.tiny import data

TASK = Path(sections.__file__).parent


def test_every_gold_answer_passes_every_verifier():
    for item in sections.generate(500, seed=11):
        verdicts = structure.judge(item.answer)
        assert all(v.state is structure.State.PASS for v in verdicts.values()), (item.answer, verdicts)
        assert utils.on_topic(vars(item), item.answer) == 1.0


def test_the_usual_answer_is_right_and_is_what_most_gold_answers_are():
    items = sections.generate(500, seed=11)
    usual = [sections.usual_answer(i.factor, i.subject, i.measure) for i in items]
    assert all(
        structure.score(text)["all_strict"] == utils.on_topic(vars(i), text) == 1.0
        for i, text in zip(items, usual, strict=True)
    )
    one_sentence = [i for i in items if sections.FACTORS.index(i.factor) % 3]
    same = [i.answer == sections.usual_answer(i.factor, i.subject, i.measure) for i in one_sentence]
    assert 0.85 < sum(same) / len(same) < 0.95


def test_usual_streams_have_the_same_topics_and_no_chance():
    drawn, usual = (list(islice(data.stream_sections(random.Random(0), u), 3000)) for u in (False, True))
    assert [e.prompt for e in usual] == [e.prompt for e in drawn]
    answers: dict[str, set[str]] = {}
    for example in usual:
        answers.setdefault(example.prompt.split("How does")[1].split("?")[0], set()).add(example.answer)
    assert len(answers) < 2900  # some topics come again
    assert all(len(texts) == 1 for texts in answers.values())


def test_sections_generator_is_seeded_and_varied():
    items = sections.generate(60, seed=4)
    assert items == sections.generate(60, seed=4)
    assert len({i.answer.replace(i.subject, "").replace(i.factor, "") for i in items}) > 50
    assert {i.domain for i in items} == set(sections.SUBJECTS.values())


def test_topic_words_do_not_meet_the_word_lists():
    listed = {w for c in counting.load_categories() for w in c.words}
    assert not listed & {*sections.FACTORS, *sections.SUBJECTS, *sections.MEASURES}


def test_shipped_prompts_are_what_the_generator_writes(tmp_path):
    sections.write_jsonl(sections.generate(100, 20250102), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (TASK / "data" / "tiny.jsonl").read_bytes()
    assert len(utils.load_prompts()["test"]) == 100


def test_no_training_example_is_held_out():
    n, seed = data.HELD_OUT_COUNTING
    held = {i.prompt.strip() for i in counting.generate(n, seed)}
    n, seed = data.HELD_OUT_SECTIONS
    held |= {i.prompt.strip() for i in sections.generate(n, seed)}
    assert len(held) == 300
    seen = []
    for kind in ("counting", "sections"):
        for example in islice(data.STREAMS[kind](random.Random(0)), 2000):
            text = example.prompt.removesuffix(data.EOS + data.ASSISTANT)
            seen.append(text.rpartition(data.USER)[2].strip())
    assert not held & set(seen)


def test_held_out_topics_are_skipped(monkeypatch):
    first = next(sections.stream(random.Random(0)))
    monkeypatch.setattr(data, "held_out", lambda: {sections.fingerprint(first)})
    examples = islice(data.stream_sections(random.Random(0)), 20)
    assert not any(first.prompt.strip() in e.prompt for e in examples)


def test_a_share_of_the_examples_is_raw():
    examples = list(islice(data.stream_counting(random.Random(0)), 1000))
    raw = [e for e in examples if data.USER not in e.prompt]
    assert 0.1 < len(raw) / len(examples) < 0.3
    assert all(e.prompt.endswith("\n") for e in raw)
    assert all(e.answer.endswith(data.EOS) for e in examples)


def test_constraint_tiny_has_all_metrics_of_constraint50():
    class Loader(yaml.SafeLoader):
        """Reads lm_eval's `!function` as text."""

    Loader.add_constructor("!function", lambda loader, node: str(node.value))
    theirs = yaml.load((TASK.parent / "constraint50" / "_metrics.yaml").read_text(), Loader)["metric_list"]
    ours = yaml.load((TASK / "constraint_tiny.yaml").read_text(), Loader)["metric_list"]
    assert [m for m in theirs if m not in ours] == []
    doc = json.loads((TASK / "data" / "tiny.jsonl").read_text().splitlines()[0])
    values = utils.process_results(doc, [doc["answer"]])
    assert set(values) <= {m["metric"] for m in ours}
    assert values["solved"] == values["all_strict"] == 1.0
    strayed = utils.process_results(doc, [doc["answer"].replace(doc["factor"], "x")])
    assert (strayed["all_strict"], strayed["solved"]) == (1.0, 0.0)
    assert strayed["on_topic"] == pytest.approx(2 / 3)


def test_bad_prompts_are_one_clear_error(tmp_path, monkeypatch):
    folder = tmp_path / "constraint_tiny"
    folder.mkdir()
    (folder / "tiny.jsonl").write_text('{"id": "a", "domain": "plants", "prompt": "p"}\n')
    with pytest.raises(UserError, match=r"tiny\.jsonl, line 1: field 'factor' is missing"):
        utils.load_prompts(data_dir=str(tmp_path))
