"""The study's JSONL, made of samples and traces."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmx_analysis.guided.export import records
from lmx_analysis.guided.runs import find_guided_runs, guided_texts
from lmx_cli.main import app
from lmx_files import jsonl
from lmx_files.errors import UserError
from tests.unit.guided.guided_tools import answer, write_guided_run

FIELDS = (
    "c", "k", "base_model_id", "oracle_model_id", "prompt", "result", "ground_truth", "parsed_answer",
    "interleaved_outputs", "cheat_positions", "total_tokens_generated",
)  # fmt: skip
PIECES = [("base", "2 + 2", 3), ("oracle", " is", 2), ("base", " \u2264 ", 2), ("oracle", "4", 1)]
GOLDEN = (
    '{"c": 2, "k": 5, "base_model_id": "small", "oracle_model_id": "large", "prompt": "question 7", '
    '"result": "2 + 2 is \u2264 4", "ground_truth": "4", "parsed_answer": "4", "interleaved_outputs": ['
    '{"model_type": "base", "output": "2 + 2"}, {"model_type": "oracle", "output": " is", "oracle_tokens": 2, '
    '"oracle_tokens_normalized": 0.25}, {"model_type": "base", "output": " \u2264 "}, '
    '{"model_type": "oracle", "output": "4", "oracle_tokens": 1, "oracle_tokens_normalized": 0.125}], '
    '"cheat_positions": [3, 7], "total_tokens_generated": 8}\n'
    '{"c": 2, "k": 5, "base_model_id": "small", "oracle_model_id": "large", "prompt": "question 8", "result": "no", '
    '"ground_truth": "5", "parsed_answer": null, "interleaved_outputs": [{"model_type": "base", "output": "no"}], '
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
    return list(jsonl.read(output))


def test_golden(tmp_path: Path) -> None:
    exported(run(tmp_path / "run"), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == GOLDEN


def test_round_trip(tmp_path: Path) -> None:
    lines = exported(run(tmp_path / "run"), tmp_path / "out.jsonl")
    assert [tuple(line) for line in lines] == [FIELDS, FIELDS]
    for line in lines:
        assert "".join(piece["output"] for piece in line["interleaved_outputs"]) == line["result"]
    jsonl.write(tmp_path / "again.jsonl", lines)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


@dataclass
class Stats:
    """The record that the study's scripts make of a line: exactly these fields, each optional."""

    c: Any = 0
    k: Any = 1
    base_model_id: str = ""
    oracle_model_id: str = ""
    prompt: str = ""
    result: str = ""
    ground_truth: str = ""
    parsed_answer: str = ""
    interleaved_outputs: list[dict[str, Any]] = field(default_factory=list)
    cheat_positions: list[int] = field(default_factory=list)
    total_tokens_generated: int = 0


def test_a_script_of_the_study_can_walk_through_the_pieces(tmp_path: Path) -> None:
    """It joins the pieces, and takes one position for each piece of the oracle, also where they follow each other."""
    pieces = [("oracle", "a", 2), ("oracle", "b", 1), ("base", "c", 3), ("oracle", "d", 2)]
    exported(write_guided_run(tmp_path / "run", [answer(0, pieces, acc=1.0)]), tmp_path / "out.jsonl")
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        stats = Stats(**json.loads(line))
        before, seen = "", []
        for one in stats.interleaved_outputs:
            if one["model_type"] == "oracle":
                share = one["oracle_tokens"] / stats.total_tokens_generated
                assert one["oracle_tokens_normalized"] == share
                seen.append((stats.cheat_positions.pop(0), before, share))
            before += one["output"]
        assert (before, stats.cheat_positions) == (stats.result, [])
        assert seen == [(0, "", 0.25), (2, "a", 0.125), (6, "abc", 0.25)]


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


def test_two_runs_that_share_a_traces_file_do_not_mix(tmp_path: Path) -> None:
    """By key alone the run that wrote little by its oracle was given the shares of the one that wrote all by it."""
    folders, lines = [], ""
    for number, pieces in enumerate(([("base", "a b c d", 4), ("oracle", " e", 1)], [("oracle", "f g h", 3)])):
        stamp = f"2026-01-02T03-04-0{number}.000000"
        answers = [answer(doc, [*pieces, ("base", f" {doc}", 0)], acc=1.0) for doc in range(2)]
        answers.append(answer(2, [(("base", "oracle")[number], "same", 2)], acc=1.0))
        folders.append(write_guided_run(tmp_path / str(number), answers, stamp=stamp))
        (own,) = folders[-1].glob("traces_*")
        lines += own.read_text()
        own.unlink()
    (tmp_path / "traces.jsonl").write_text(lines)  # as `traces=FILE` for both leaves them
    for folder, share in zip(folders, (0.2, 1.0), strict=True):
        (run,), _ = find_guided_runs([folder], traces=tmp_path / "traces.jsonl")
        notes: list[str] = []
        found = list(guided_texts(run, "toy", notes=notes))
        assert {text.oracle_tokens / len(text.tokens) for text in found} == {share}
        assert [text.doc_id for text in found] == [0, 1]
        assert len(notes) == 1
        assert "1 with several that differ" in notes[0]
        assert notes[0].endswith("Left out: 1 document: 2")
