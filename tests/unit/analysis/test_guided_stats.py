"""From guided runs to statistics at consultations: measured in parts, killed and gone on with, analysed from files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from lmx_analysis.guided_stats import output as outputs
from lmx_analysis.guided_stats.statistics import Options, Statistics, choose, combine
from lmx_cli.main import app
from lmx_files import parquet
from lmx_files.errors import UserError
from lmx_probes import models
from lmx_probes.guided_stats import measure as measuring
from lmx_probes.guided_stats.measure import Settings, measure
from tests.unit.guided.guided_tools import answer, write_guided_run

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "tests" / "kept" / "guided"


def statistics(run: Path, parts: Path, batch_size: int = 8, **options: Any) -> Statistics:
    """Measure a run with tiny-base into a folder of parts."""
    chosen = choose([run], Options(batch_size=batch_size, **options))
    found = measure(chosen.asked, Settings("tiny-base", chosen.options.mode, batch_size, device="cpu"), parts)
    return combine(chosen, found.base, found.measured_with, found.rows)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return models.tokenizer_of("tiny-base")


@pytest.fixture
def run(tmp_path: Path, tokenizer: Any) -> Path:
    """Twelve answers of different lengths; two consultations in each but the last."""
    answers = []
    for number in range(12):
        prompt = f"<|user|>Name {number} animals.<|eos|><|assistant|>"
        pieces = [
            ("base", "Goal:\nLearn", 0),
            ("oracle", " if the", 0),
            ("base", " smell of maize" * (1 + number % 3), 0),
        ]
        pieces += [("oracle", " depends on dust.", 0)] if number < 11 else []
        pieces = pieces if number < 11 else [("base", "Goal:\nLearn", 0)]
        ids = [tokenizer.encode(text, add_special_tokens=False) for _, text, _ in pieces]
        counted = [(source, text, len(part)) for (source, text, _), part in zip(pieces, ids, strict=True)]
        fed = len(tokenizer.encode(prompt, add_special_tokens=False))
        tokens = [token for part in ids for token in part]
        answers.append(answer(number, counted, prompt, tokens=tokens, prompt_tokens=fed, acc=float(number % 2)))
    return write_guided_run(tmp_path / "run", answers, base="tiny-base")


def test_rows_are_those_of_one_text_alone(run: Path, tmp_path: Path, tokenizer: Any) -> None:
    together = statistics(run, tmp_path / "together", 5)
    alone = statistics(run, tmp_path / "alone", 1)
    assert len(together.rows) == 22
    for a, b in zip(together.rows, alone.rows, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    first = together.rows[0]
    assert (first["doc_id"], first["consultation"], first["acc"]) == (0, 0, 0.0)
    tokens = json.loads(next(run.glob("traces_*")).read_text().splitlines()[0])["trace"]["tokens"]
    assert first["normalized_position"] == first["position"] / len(tokens)
    prompt = tokenizer.encode("<|user|>Name 0 animals.<|eos|><|assistant|>", add_special_tokens=False)
    context = [*prompt, *tokens[: first["position"]]]
    assert first["context_tokens"] == len(context)
    with models.opened("tiny-base", device="cpu") as probe:
        logits = probe.model(torch.tensor([context])).logits[0, -1]
    p = logits.detach().double().softmax(-1)
    assert first["entropy"] == pytest.approx(float(-(p * p.log2()).sum()), abs=1e-4)


def test_command_writes_everything(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["guided-stats", str(run), "-o", str(output), "--no-plots", "--bootstrap", "200", "--device", "cpu"]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.exception
    table, text = pd.read_parquet(output / "consultations.parquet"), pd.read_csv(output / "consultations.csv")
    assert list(table) == list(text)
    assert len(table) == len(text) == 22
    lines = [json.loads(line) for line in (output / "guided_stats.jsonl").read_text().splitlines()]
    assert [len(line["analysis_result"]) for line in lines] == [2] * 11 + [0]
    assert [line["acc"] for line in lines] == [float(number % 2) for number in range(12)]
    assert lines[0]["cheat_positions"] == [each["position"] for each in lines[0]["analysis_result"]]
    manifest = json.loads((output / "guided_stats_manifest.json").read_text())
    assert manifest["base"]["name"] == "tiny-base"
    assert len(manifest["inputs"]) == 3
    assert "torch" in manifest["measured_with"]
    assert len(pd.read_csv(output / "correlations.csv")) == 20


def test_tables_are_made_again_without_a_model(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = tmp_path / "out", tmp_path / "again"
    arguments = ["--no-plots", "--bootstrap", "200"]
    CliRunner().invoke(app, ["guided-stats", str(run), "-o", str(first), *arguments, "--device", "cpu"])
    monkeypatch.setattr(models, "load", refuse)
    outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again), *arguments])
    assert outcome.exit_code == 0, outcome.exception
    assert not (first / "measured").exists()
    for file in first.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again), "--mode", "seed"])
    assert isinstance(outcome.exception, UserError)
    (first / "texts.parquet").write_bytes(b"PAR1")
    outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again)])
    assert "does not hold what lmx guided-stats measured" in str(outcome.exception)


def test_analysed_again_the_versions_that_measured_are_kept(run: Path, tmp_path: Path) -> None:
    """Also of a folder of an earlier release, whose manifest had them as its only versions, and hashes by run."""
    first, again = tmp_path / "out", tmp_path / "again"
    arguments = ["--no-plots", "--bootstrap", "200"]
    CliRunner().invoke(app, ["guided-stats", str(run), "-o", str(first), *arguments, "--device", "cpu"])
    path = first / "guided_stats_manifest.json"
    measured = json.loads(path.read_text())
    of_run = {Path(name).name: digest for name, digest in measured["inputs"].items()}
    earlier = {key: measured[key] for key in ("tasks", "metric", "settings", "base", "notes")}
    earlier["inputs"] = [{"results": str(next(run.glob("results_*"))), "sha256": of_run}]
    for given in (
        {**measured, "measured_with": {"torch": "1.0"}, "versions": {"numpy": "2.0"}},
        {**earlier, "versions": {"torch": "1.0"}},
    ):
        path.write_text(json.dumps(given))
        outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again), *arguments])
        assert outcome.exit_code == 0, outcome.exception
        written = json.loads((again / "guided_stats_manifest.json").read_text())
        assert written["measured_with"] == {"torch": "1.0"}
        assert written["versions"] == measured["versions"]
        assert written["inputs"] == measured["inputs"]


def test_seed_mode_by_command_gives_one_over_the_context(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["guided-stats", str(run), "-o", str(tmp_path / "out"), "--mode", "seed", "--bootstrap", "200"]
    outcome = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert outcome.exit_code == 0, outcome.exception
    table = pd.read_csv(tmp_path / "out" / "consultations.csv")
    assert np.allclose(table["interaction_strength"], 1 / table["context_tokens"])
    for name in ("correlations", "distributions"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / "out" / f"{name}.svg").read_bytes()


def test_another_tokenizer_or_template_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load", refuse)
    traces = next(run.glob("traces_*"))
    lines = [json.loads(line) for line in traces.read_text().splitlines()]
    lines[3]["trace"]["prompt_tokens"] += 1
    traces.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=r"document 3 of toy: the prompt has \d+ tokens .* the run fed"):
        statistics(run, tmp_path / "parts")
    lines[3]["trace"]["prompt_tokens"] -= 1
    lines[3]["trace"]["tokens"].reverse()
    traces.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match="document 3 of toy: the token ids of the trace are not its text"):
        statistics(run, tmp_path / "parts")


def refuse(*arguments: Any) -> Any:
    raise AssertionError("no model should be loaded")


def test_mistakes_are_found_before_a_model_is_loaded(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'corrected'"):
        Options(mode="correct")
    nothing = write_guided_run(tmp_path / "nothing", [answer(0, [("base", "b", 2)], acc=1.0)], c=0.0)
    with pytest.raises(UserError, match="the oracle was not asked"):
        choose([nothing], Options())
    pieces = [("base", "b", 2), ("oracle", "o", 2)]
    remote = write_guided_run(tmp_path / "r", [answer(0, pieces, acc=1.0)], base="openai:http://localhost/v1#m")
    with pytest.raises(UserError, match="is an endpoint"):
        choose([remote], Options())
    with pytest.raises(UserError, match="several bases"):
        choose([remote, run], Options())


# Parts, kills, kept values.


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "PART_TEXTS", 2)


@pytest.mark.usefixtures("small_parts")
def test_a_killed_measurement_goes_on_where_it_was(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = statistics(run, tmp_path / "whole", 1)
    read, original = [], measuring.Reader.read

    def counted(self: Any, texts: Any, positions: Any) -> Any:
        if len(texts[0]) > 12 and len(read) == 5:  # the check of the attention reads a text of 12 tokens
            raise KeyboardInterrupt
        read.extend(texts if len(texts[0]) > 12 else [])
        return original(self, texts, positions)

    monkeypatch.setattr(measuring.Reader, "read", counted)
    with pytest.raises(KeyboardInterrupt):
        statistics(run, tmp_path / "parts", 1)
    assert parquet.numbers(tmp_path / "parts") == [0, 1]  # two of two texts; the fifth's part was not finished
    read.clear()
    read += [[]] * 6  # never equal to five again
    again = statistics(run, tmp_path / "parts", 1)
    assert len(read) == 6 + 7
    assert again.rows == whole.rows
    assert again.answers == whole.answers
    for part in (tmp_path / "whole").glob("part-*.parquet"):
        assert (tmp_path / "parts" / part.name).read_bytes() == part.read_bytes()
    monkeypatch.setattr(models, "load", refuse)  # all is measured: no weights are loaded
    assert statistics(run, tmp_path / "parts", 1).rows == whole.rows


@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_measurement_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics(run, tmp_path / "parts")
    monkeypatch.setattr(models, "load", refuse)
    with pytest.raises(UserError, match=r"parts holds parts of another measurement \(mode differ\): name another"):
        statistics(run, tmp_path / "parts", mode="seed")
    with pytest.raises(UserError, match=r"\(batch_size differ\)"):
        statistics(run, tmp_path / "parts", 4)
    monkeypatch.setattr(measuring, "model_identity", lambda *_: "sha256:other")
    with pytest.raises(UserError, match=r"\(weights differ\)"):
        statistics(run, tmp_path / "parts")


KILLED = """
import os, signal, sys
from lmx_probes.guided_stats import measure
measure.PART_TEXTS = 2
original, count = measure.Reader.read, [0]
def read(self, texts, positions):
    count[0] += 1
    if count[0] == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, texts, positions)
measure.Reader.read = read
from lmx_cli.main import main
sys.argv = ["lmx", *sys.argv[1:]]
main()
"""


@pytest.mark.full
@pytest.mark.usefixtures("small_parts")
def test_a_command_that_was_killed_writes_the_same_files_in_the_end(run: Path, tmp_path: Path) -> None:
    """The child dies of SIGKILL at the fifth batch; the same command, started again, ends with the same bytes."""
    options = ["--no-plots", "--bootstrap", "200", "--device", "cpu", "--batch_size", "1"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-c", KILLED, "guided-stats", str(run), "-o", str(killed), *options]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert child.returncode == -signal.SIGKILL, child.stderr[-2000:]
    assert [path.name for path in killed.iterdir()] == ["measured"]
    assert parquet.numbers(killed / "measured") == [0, 1]
    for output in (killed, whole):
        outcome = CliRunner().invoke(app, ["guided-stats", str(run), "-o", str(output), *options])
        assert outcome.exit_code == 0, outcome.exception
    assert sorted(path.name for path in killed.iterdir()) == sorted(path.name for path in whole.iterdir())
    for file in whole.iterdir():
        assert (killed / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_numbers_of_an_earlier_release(tmp_path: Path) -> None:
    """Statistics of a kept run, as the release before parts measured them (tests/kept/README.md)."""
    kept = json.loads((KEPT / "guided_stats.json").read_text(encoding="utf-8"))
    for mode, rows in kept.items():
        found = statistics(KEPT / "tiny-base", tmp_path / mode, mode=mode).rows
        assert len(found) == len(rows) == 6
        for row, expected in zip(found, rows, strict=True):
            assert list(row) == list(expected)
            numbers = {name: value for name, value in expected.items() if isinstance(value, (int, float))}
            assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-5, abs=1e-9), row["doc_id"]
            assert all(row[name] == value for name, value in expected.items() if name not in numbers)


def test_the_columns_that_are_analysed_are_those_measured() -> None:
    assert (*outputs.OF_NEXT_TOKEN, *outputs.OF_ATTENTION) == measuring.COLUMNS
