"""Judges and options of sets: a judge that fails loses nothing, no model judges itself, what makes no sense is said."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_models.harness import asking
from lmx_tasks.category_counting import sets
from lmx_tasks.category_counting.making import store
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.mixed import make_mixed
from lmx_tasks.category_counting.words import Category, by_name

DESIGN = Design(lengths=(5, 8), counts=(0, 1, 2, 3))
STONES = tuple(f"zor{a}{b}" for a in "aeiou" for b in "bdfgklmnprst")
COINS = tuple(f"dib{a}{b}" for a in "aeiou" for b in "bdfgklmnprst")


def lmx(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["counting", *map(str, arguments)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def unknown(tmp_path):
    """A set of a model's words of which no list knows one: 240 questions for a judge."""
    docs = make_mixed(40, 1, DESIGN, [Category("stone", "stones", STONES), Category("coin", "coins", COINS)], "author")
    store.write(tmp_path / "set", docs)
    return tmp_path / "set"


class Judge:
    """Knows the truth, and fails at the `fails`-th call."""

    def __init__(self, fails: int | None = None):
        self.fails, self.calls, self.asked = fails, 0, []

    def __call__(self, prompts):
        self.calls += 1
        if self.calls == self.fails:
            raise UserError("the model failed at its prompt 65 (ReadTimeout: timed out)")
        self.asked += prompts
        return ["Yes." if ('"zor' in p) == ("stones" in p) else "No." for p in prompts]


def test_a_judge_that_fails_is_asked_the_rest_only(unknown, tmp_path):
    docs = store.read(unknown)
    whole = Judge()
    at_once = sets.validate(unknown, docs, tmp_path / "a", whole, "judge", iter)
    failing, second = Judge(fails=3), Judge()
    with pytest.raises(UserError, match="timed out"):
        sets.validate(unknown, docs, tmp_path / "b", failing, "judge", iter)
    assert len(failing.asked) == 128
    assert sets.validate(unknown, docs, tmp_path / "b", second, "judge", iter) == at_once
    assert sorted(failing.asked + second.asked) == sorted(whole.asked)
    assert at_once["verdicts"]["right"] == 40
    other = Judge()
    sets.validate(unknown, docs, tmp_path / "b", other, "another judge", iter)
    assert other.asked == whole.asked


def test_the_command_keeps_what_was_judged_until_all_is(unknown, monkeypatch):
    judges = [Judge(fails=2), Judge()]
    monkeypatch.setattr(asking, "load_ask", lambda *_: judges[0])
    command = ("validate", unknown, "--model", "scripted", "--no-plots")
    with pytest.raises(UserError, match="timed out"):
        lmx(*command)
    assert len((unknown / "judged.jsonl").read_text().splitlines()) == 64
    assert not (unknown / "validation_results.json").exists()
    del judges[0]
    assert "40 right" in lmx(*command)
    assert not (unknown / "judged.jsonl").exists()


@pytest.mark.parametrize("error", [UserError("the model failed"), KeyboardInterrupt()])
def test_a_model_that_fails_while_it_proposes_keeps_what_it_wrote(tmp_path, error):
    fruits, tools = by_name("full")["fruit"].words[:12], by_name("full")["tool"].words[:12]
    said = {"Name": "fruits\ntools\nbirds", "fruits": "\n".join(fruits), "tools": "\n".join(tools)}

    def ask(prompts):
        if "birds" in prompts[0]:
            raise error
        return [next(text for key, text in said.items() if key in prompts[0].split(".")[0])]

    told = []
    with pytest.raises(type(error)):
        sets.propose(tmp_path / "set", ask, "model", 20, 40, 1, iter, told.append)
    rows = tmp_path / "set" / "proposals.jsonl"
    assert told == [f"what the model wrote is kept: {rows}"]
    assert [json.loads(row)["asked"] for row in rows.read_text().splitlines()] == ["categories", "words", "words"]
    lmx("generate", "-o", tmp_path / "set", "--proposals", rows, "--n", 30, "--lengths", "5-8", "--counts", "0-4")
    assert {doc["category"] for doc in store.read(tmp_path / "set")} == {"fruit", "tool"}


@pytest.mark.parametrize(
    ("author", "judge"),
    [
        ("org/Model", "org/Model@main"),
        ("org/Model@v1", "org/model@v2"),
        ("models/m", "./models/m"),
        ("models/m", "{cwd}/models/m"),
    ],
)
def test_no_model_judges_itself_however_it_is_written(author, judge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    docs = [{"provenance": {"model": ""}}, {"provenance": {"model": author}}]
    with pytest.raises(UserError, match="so it cannot judge them: name another model"):
        sets.check_judge(docs, judge.format(cwd=tmp_path))
    sets.check_judge(docs, "another/model")
    sets.check_judge([{}], judge)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model_share", "0.5"), "--model_share 0.5 is of what a model proposes: give --model or --proposals too"),
        (("--avoid", "validation_results.json"), "--avoid validation_results.json is of what a model proposes"),
        (("--model", "scripted", "--proposals", "p.jsonl"), "give one of them"),
        (("--model_args", "text=a"), "--model_args are those of no model: give --model too"),
    ],
)
def test_options_that_do_nothing_are_refused(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        lmx("generate", "-o", tmp_path / "set", *arguments)
    assert not (tmp_path / "set").exists()


def test_no_share_of_a_model_s_is_a_set_of_the_lists(tmp_path):
    lmx("generate", "-o", tmp_path / "a.json", "--n", 20, "--model", "scripted", "--model_share", 0)
    lmx("generate", "-o", tmp_path / "b.json", "--n", 20)
    assert store.read(tmp_path / "a.json") == store.read(tmp_path / "b.json")


def test_a_client_s_failure_is_one_line():
    class Client:
        tokenizer = None

        def generate_until(self, requests, disable_tqdm):
            raise ConnectionError("no\nroute, token=hf_" + "a" * 34)

    with pytest.raises(UserError, match=r"the model failed at its prompt 1 .*\(ConnectionError: no route") as error:
        asking._answers(Client(), ["a", "b"], 8, iter(range(9)))
    assert "a" * 34 not in str(error.value)


def test_a_set_is_not_replaced_by_what_is_left_of_it(tmp_path):
    lmx("generate", "-o", tmp_path / "set", "--n", 20)
    before = (tmp_path / "set" / "examples.json").read_bytes()
    for command in (("validate", tmp_path / "set", "--no-plots", "--prune"), ("prune", tmp_path / "set", "-o")):
        for place in (tmp_path / "set", tmp_path / "set" / ".", tmp_path / "set" / "examples.json"):
            with pytest.raises(UserError, match="the cleaned set would replace"):
                lmx(*command, place)
    assert (tmp_path / "set" / "examples.json").read_bytes() == before


def test_an_item_may_say_anything_of_where_it_is_from():
    sets.check_judge([{"provenance": "me"}, {"provenance": ["x"]}, {"provenance": None}, {}], "judge")


@pytest.mark.parametrize(
    "content", ['{"command": "lmx counting generate"}', '{"words": 7}', "[]", '{"words": "apple"}']
)
def test_what_no_validation_wrote_is_not_heeded_in_silence(tmp_path, unknown, content):
    (tmp_path / "other.json").write_text(content)
    proposals = tmp_path / "p.jsonl"
    proposals.write_text('{"model": "m", "asked": "words", "category": "stones", "raw": "agate"}\n')
    with pytest.raises(UserError, match=r"--avoid .*other\.json"):
        lmx("generate", "-o", tmp_path / "new", "--proposals", proposals, "--avoid", tmp_path / "other.json")
    with pytest.raises(UserError, match="holds no proposals"):
        lmx("generate", "-o", tmp_path / "new", "--proposals", unknown / "examples.jsonl")


def test_verdicts_that_are_none_are_of_another_set(unknown, tmp_path):
    lmx("validate", unknown, "--no-plots")
    results = json.loads((unknown / "validation_results.json").read_text())
    (unknown / "validation_results.json").write_text(json.dumps(results | {"per_item": [1] * 40}))
    with pytest.raises(UserError, match="of another set"):
        lmx("prune", unknown, "-o", tmp_path / "clean")
