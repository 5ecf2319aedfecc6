"""The study's JSONL, made of samples and traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lmx_analysis.guided_export import FIELDS, read_export, records
from lmx_analysis.guided_runs import find_guided_runs
from lmx_cli.main import app
from lmx_files import jsonl
from lmx_plugins.errors import UserError
from tests.unit.guided_tools import answer, write_guided_run

PIECES = [("base", "2 + 2", 3), ("oracle", " is", 1), ("base", " \u2264 ", 2), ("oracle", "4", 1)]
GOLDEN = (
    '{"c": 2, "k": 5, "base_model_id": "small", "oracle_model_id": "large", "prompt": "question 7", '
    '"result": "2 + 2 is \u2264 4", "ground_truth": "4", "parsed_answer": "4", "interleaved_outputs": ['
    '{"source": "base", "text": "2 + 2"}, {"source": "oracle", "text": " is"}, {"source": "base", "text": " \u2264 "}, '
    '{"source": "oracle", "text": "4"}], "cheat_positions": [3, 6], "total_tokens_generated": 7}\n'
    '{"c": 2, "k": 5, "base_model_id": "small", "oracle_model_id": "large", "prompt": "question 8", "result": "no", '
    '"ground_truth": "5", "parsed_answer": null, "interleaved_outputs": [{"source": "base", "text": "no"}], '
    '"cheat_positions": [], "total_tokens_generated": 2}\n'
)


def run(folder: Path, **settings: object) -> Path:
    answers = [
        answer(7, PIECES, target="4", acc=1.0, parsed_answer="4"),
        answer(8, [("base", "no", 2)], target="5", acc=0.0, parsed_answer=None),
    ]
    return write_guided_run(folder, answers, **settings)


def exported(folder: Path, output: Path, *more: str) -> list[dict[str, object]]:
    outcome = CliRunner().invoke(app, ["guided-export", str(folder), "-o", str(output), *more])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return list(read_export(output))


def test_golden(tmp_path: Path) -> None:
    exported(run(tmp_path / "run"), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == GOLDEN


def test_round_trip(tmp_path: Path) -> None:
    lines = exported(run(tmp_path / "run"), tmp_path / "out.jsonl")
    assert [tuple(line) for line in lines] == [FIELDS, FIELDS]
    for line in lines:
        assert "".join(piece["text"] for piece in line["interleaved_outputs"]) == line["result"]
    jsonl.write(tmp_path / "again.jsonl", lines)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_no_limit_is_a_word(tmp_path: Path) -> None:
    line = exported(run(tmp_path / "run", c="inf", k="inf"), tmp_path / "out.jsonl")[0]
    assert (line["c"], line["k"]) == ("inf", "inf")


def test_several_runs_and_other_models(tmp_path: Path) -> None:
    run(tmp_path / "runs" / "a")
    run(tmp_path / "runs" / "b", k=9.0, stamp="2026-01-02T03-04-06.000000")
    run(tmp_path / "runs" / "c", method="ar", stamp="2026-01-02T03-04-07.000000")
    run(tmp_path / "runs" / "replaced" / "a", k=1.0, stamp="2026-01-02T03-04-08.000000")
    lines = exported(tmp_path / "runs", tmp_path / "out.jsonl")
    assert [line["k"] for line in lines] == [5, 5, 9, 9]


def test_gold_and_parsed_answers_of_documents_and_filters(tmp_path: Path) -> None:
    first = answer(0, [("base", "so #### 12", 4)], doc={"answer": "12"}, target="long", acc=1.0, filter_="strict")
    first[0]["filtered_resps"] = ["12"]
    line = exported(write_guided_run(tmp_path / "run", [first]), tmp_path / "out.jsonl")[0]
    assert (line["ground_truth"], line["parsed_answer"]) == ("12", "12")


def test_repeats(tmp_path: Path) -> None:
    logged, line = answer(0, [("base", "one", 1)], acc=0.5)
    logged["resps"] = [["one", "two"]]
    other = line | {"repeat": 1, "text": "two", "pieces": [["base", "two"]]}
    folder = write_guided_run(tmp_path / "run", [(logged, line)])
    with next(folder.glob("traces_*")).open("a") as traces:
        traces.write(json.dumps(other) + "\n")
    assert [each["result"] for each in exported(folder, tmp_path / "out.jsonl")] == ["one", "two"]


def test_traces_elsewhere(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    elsewhere = next(folder.glob("traces_*")).rename(tmp_path / "elsewhere.jsonl")
    with pytest.raises(UserError, match=r"toy: 2 of 2 texts have no trace: 2 without any.*--traces"):
        exported(folder, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert len(exported(folder, tmp_path / "out.jsonl", "--traces", str(elsewhere))) == 2


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    runs, _ = find_guided_runs([run(tmp_path / "run")])
    output = tmp_path / "out.jsonl"
    output.write_text("old")

    def broken() -> object:
        yield from records(runs, ["toy"])
        raise UserError("half way")

    with pytest.raises(UserError, match="half way"):
        jsonl.write(output, broken())
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--task", "toi"], "did you mean 'toy'"), (["--filter", "strict"], "unknown filter 'strict'")],
)
def test_mistakes(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        exported(run(tmp_path / "run"), tmp_path / "out.jsonl", *arguments)


def test_no_guided_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished run of --model guided .*found runs of ar"):
        exported(run(tmp_path / "run", method="ar"), tmp_path / "out.jsonl")
    with pytest.raises(UserError, match="is a folder"):
        exported(run(tmp_path / "run"), tmp_path)


def test_read_names_missing_fields(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"c": 1}\n')
    with pytest.raises(UserError, match="answer 1: no k, base_model_id"):
        list(read_export(tmp_path / "bad.jsonl"))
