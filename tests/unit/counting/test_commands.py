"""`lmx counting generate | validate | prune`: files under their names, seeded, and errors of one line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_files.values import whole_numbers
from lmx_tasks.category_counting.making import store
from lmx_tasks.category_counting.words import by_name


def lmx(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["counting", *map(str, arguments)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def test_a_set_in_three_commands(tmp_path):
    lmx("generate", "-o", tmp_path / "set", "--n", 150, "--format", "all", "--position", "both")
    assert {path.name for path in (tmp_path / "set").iterdir()} == {"examples.json", "examples.jsonl", "manifest.json"}
    docs = json.loads((tmp_path / "set" / "examples.json").read_text())
    assert docs == store.read(tmp_path / "set" / "examples.jsonl")
    assert len(docs) == 150
    said = lmx("validate", tmp_path / "set", "--prune", tmp_path / "clean.jsonl")
    assert "150 items: 150 right" in said
    results = json.loads((tmp_path / "set" / "validation_results.json").read_text())
    assert results["verdicts"]["right"] == 150
    assert (tmp_path / "set" / "report_section.json").is_file()
    assert (tmp_path / "set" / "validation_by_count.png").is_file()
    assert store.read(tmp_path / "clean.jsonl") == docs
    lmx("prune", tmp_path / "set", "-o", tmp_path / "again")
    assert store.read(tmp_path / "again") == docs


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a.json", "b.json"):
        lmx("generate", "-o", tmp_path / name, "--n", 40, "--seed", 3)
    lmx("generate", "-o", tmp_path / "c.json", "--n", 40, "--seed", 4)
    first, second, third = ((tmp_path / name).read_bytes() for name in ("a.json", "b.json", "c.json"))
    assert first == second != third


def answers(tmp_path, *texts: str):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def liar(tmp_path):
    """What a scripted model proposes: fruits with a hammer among them, and tools."""
    fruits, tools = by_name("full")["fruit"].words[:12], by_name("full")["tool"].words[:12]
    return answers(tmp_path, "1. Fruits\n2. Tools", "\n".join([*fruits, "trumpet"]), "\n".join([*tools, "froe"]))


def test_generate_validate_tune(tmp_path, liar):
    """A model lies; the lists catch it; the next set, from the same proposals, has no lie."""
    first, second = tmp_path / "first", tmp_path / "second"
    common = ("--lengths", "5-8", "--counts", "0-4")
    said = lmx(
        "generate", "-o", first, "--n", 120, "--model", "scripted", "--model_args", f"responses={liar}", *common,
        "--model_share", 0.5,
    )  # fmt: skip
    assert "2 categories of scripted are used" in said
    docs = store.read(first)
    assert sum(doc["source"] == "model" for doc in docs) == 60
    rows = [json.loads(line) for line in (first / "proposals.jsonl").read_text().splitlines()]
    assert [row["asked"] for row in rows] == ["categories", "words", "words"]
    assert rows[1]["raw"].endswith("trumpet")
    lmx("validate", first, "--no-plots")
    results = json.loads((first / "validation_results.json").read_text())
    assert results["verdicts"]["wrong"] > 0
    assert all("trumpet" in row["prompt"] for row in results["bad_examples"] if row["verdict"] == "wrong")
    lmx(
        "generate", "-o", second, "--n", 120, "--proposals", first / "proposals.jsonl", "--avoid",
        first / "validation_results.json", *common,
    )  # fmt: skip
    assert not any("trumpet" in doc["words"] for doc in store.read(second))
    lmx("validate", second, "--no-plots")
    assert json.loads((second / "validation_results.json").read_text())["verdicts"]["wrong"] == 0


def test_a_model_does_not_judge_itself(tmp_path, liar):
    lmx(
        "generate", "-o", tmp_path / "set", "--n", 30, "--model", "scripted", "--model_args", f"responses={liar}",
        "--counts", "0-4", "--lengths", "5-8",
    )  # fmt: skip
    with pytest.raises(UserError, match="scripted proposed this set's words, so it cannot judge them"):
        lmx("validate", tmp_path / "set", "--model", "scripted", "--no-plots")


def test_another_model_judges_what_the_lists_do_not_know(tmp_path, liar):
    place = tmp_path / "set.json"
    lmx(
        "generate",
        "-o",
        place,
        "--n",
        60,
        "--model",
        "scripted",
        "--model_args",
        f"responses={liar}",
        "--counts",
        "0-4",
        "--lengths",
        "5-8",
    )
    docs = [doc | {"provenance": doc["provenance"] | {"model": "another"}} for doc in store.read(place)]
    store.write(place, docs)
    lmx("validate", place, "--model", "scripted", "--model_args", "text=No.", "--no-plots", "-o", tmp_path / "out")
    results = json.loads((tmp_path / "out" / "validation_results.json").read_text())
    assert results["verdicts"]["undecided"] == 0
    assert results["model"] == "scripted"
    by_model = [row for row in results["words"] if row["by"] == "model"]
    assert {row["word"] for row in by_model} == {"froe"}
    assert {row["raw"] for row in by_model} == {"No."}


def test_a_model_of_which_no_set_comes_keeps_what_it_wrote(tmp_path):
    with pytest.raises(UserError, match="proposed 0 categories"):
        lmx("generate", "-o", tmp_path / "set", "--model", "scripted", "--model_args", "text=")
    rows = [json.loads(line) for line in (tmp_path / "set" / "proposals.jsonl").read_text().splitlines()]
    assert rows[0]["raw"] == ""
    assert not (tmp_path / "set" / "examples.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lengths", "5-"), "--lengths '5-': give numbers"),
        (("--lengths", "5-200"), "list length 101: lengths are 1 to 100"),
        (("--counts", ""), "no count of"),
        (("--counts", "70", "--lengths", "90"), r"a count of 70: .* has 60 words"),
        (("--format", "coma"), "unknown --format 'coma': did you mean 'comma'"),
        (("--position", "behind"), "unknown --position 'behind'"),
        (("--lists", "ful"), "unknown word lists 'ful': did you mean 'full'"),
        (("--model", "scriptd"), "unknown model 'scriptd': did you mean 'scripted'"),
        (("--model", "scripted", "--model_args", "nonsense"), "--model_args 'nonsense': write NAME=VALUE"),
        (("--proposals", "/nowhere/p.jsonl"), "cannot read /nowhere/p.jsonl"),
        (("--n", "9000", "--lengths", "1", "--counts", "1"), r"only \d+ of 9000 items are different"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        lmx("generate", "-o", tmp_path / "set", *arguments)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "set").exists()


def test_what_is_no_set_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no set of counting items at"):
        lmx("validate", tmp_path / "none", "--no-plots")
    (tmp_path / "x.json").write_text('[{"prompt": "a", "category": "b", "words": ["c"], "count": "1"}]')
    with pytest.raises(UserError, match=r"x\.json, item 1: field 'count' must be a whole number, not '1'"):
        lmx("validate", tmp_path / "x.json", "--no-plots")
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(UserError, match="not JSON"):
        lmx("validate", tmp_path / "x.json", "--no-plots")


def test_a_set_that_changed_since_is_not_pruned(tmp_path):
    lmx("generate", "-o", tmp_path / "set", "--n", 30)
    with pytest.raises(UserError, match="Validate the set first"):
        lmx("prune", tmp_path / "set", "-o", tmp_path / "clean")
    lmx("validate", tmp_path / "set", "--no-plots")
    lmx("generate", "-o", tmp_path / "set", "--n", 31)
    with pytest.raises(UserError, match="is of another set, or the set has changed"):
        lmx("prune", tmp_path / "set", "-o", tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_whole_numbers():
    assert whole_numbers("5-7,3,5", "--x") == (5, 6, 7, 3)
    assert whole_numbers("", "--x") == ()
    for bad in ("a", "3-", "-3", "1-999999999", "²", "5-2", ",", " ,1-0"):
        with pytest.raises(UserError, match="--x"):
            whole_numbers(bad, "--x")
