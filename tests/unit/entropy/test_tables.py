"""Tables of measurements: clusters by document, verdicts that are none, the study's files, bytes, memory."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from lmx_analysis.entropy import figures, groups, load, overview, section, study, testing
from lmx_analysis.stats import two_groups
from tests.unit.entropy.test_analysis import changed, made, model


def in_documents(found, each: int):
    """Let every `each` texts be of one document."""
    for name, texts in found.texts.items():
        found.texts[name] = texts.assign(task="t", doc_id=texts["text"] // each)
    return found


@pytest.mark.parametrize("values", [[0.0, 23.4], [0.3, 1.0], [0.0, 2.0], [1.0, 100.0]])
def test_a_metric_that_is_no_verdict_splits_nothing(tmp_path, values):
    found = made(tmp_path, {"a": model(np.random.default_rng(1))}, np.array(values * 30))
    assert testing.right_and_wrong(found) == []
    assert figures.right_and_wrong(found) == {}
    rows = {"overview": []}
    assert any("--metric" in line for line in section.conclusions(found, rows))
    for right in (1.0, 100.0):  # per cent, as some tasks have it
        judged = made(tmp_path, {"a": model(np.random.default_rng(1))}, np.array([0.0, right] * 30))
        assert testing.right_and_wrong(judged)
        assert not any("--metric" in line for line in section.conclusions(judged, rows))


def test_texts_without_a_verdict_are_on_neither_side(tmp_path):
    correct = np.array([1.0, 0.0, math.nan] * 20)
    [row, *_] = testing.right_and_wrong(made(tmp_path, {"a": model(np.random.default_rng(2))}, correct))
    assert (row["n_right"], row["n_wrong"]) == (20, 20)


def test_the_picture_of_right_and_wrong_grows_with_the_models(tmp_path):
    rng = np.random.default_rng(3)
    widths = []
    for count in (1, 6):
        tables = {f"model_{i}": model(rng, texts=8, tokens=5) for i in range(count)}
        picture = figures.right_and_wrong(made(tmp_path, tables, np.array([0.0, 1.0] * 4)))["right_and_wrong.png"]
        widths.append(int.from_bytes(picture[16:20], "big"))
    assert widths[1] > 1.8 * widths[0]


def repeated(rng, documents: int, copies: int):
    """Two models whose entropies differ by a level of each document, and not on average; all copies are alike."""
    words = [f" w{i}" for i in range(5)]
    rows = []
    for document in range(documents):
        gap = rng.normal(0, 0.5, len(words))
        for copy in range(copies):
            for position in range(20):
                h = float(rng.gamma(4, 0.5))
                rows.append((document * copies + copy, position, words[position % 5], h, h + gap[position % 5]))
    table = pd.DataFrame(rows, columns=["text", "position", "next_token", "entropy", "other"])
    return table, table.assign(entropy=table["other"])


def test_tokens_are_compared_by_documents_and_not_by_texts(tmp_path):
    rng, by_text, by_document = np.random.default_rng(4), 0, 0
    for _ in range(12):
        a, b = repeated(rng, 12, 8)
        found = made(tmp_path, {"a": a, "b": b})
        by_text += sum(row["p"] < 0.05 for row in testing.by_token(found, "a", "b"))
        by_document += sum(row["p"] < 0.05 for row in testing.by_token(in_documents(found, 8), "a", "b"))
    assert by_text > 20  # of 60: copies of one document counted as if they were independent
    assert by_document <= 8  # 5 % are 3; 9 or more have a probability below 0.01


@pytest.mark.parametrize("mode", ["teacher", "generate"])
def test_the_least_count_is_of_documents(tmp_path, mode):
    a, b = repeated(np.random.default_rng(5), 12, 4)
    found = made(tmp_path, {"a": a, "b": b})
    found.plan["mode"] = mode
    [row, *_] = testing.by_token(found, "a", "b")
    assert (row["tokens"], row["documents"]) == (12 * 4 * 4, 48)
    assert {row["documents"] for row in testing.by_token(in_documents(found, 4), "a", "b")} == {12}
    assert testing.by_token(in_documents(found, 6), "a", "b") == []


def test_one_token_among_many_that_do_not_change_is_found(tmp_path):
    rng = np.random.default_rng(6)
    table = model(rng, texts=60, tokens=600)
    table["next_token"] = [f" w{i % 600}" for i in range(len(table))]
    other = changed(rng, table, 0.0)
    other.loc[other["next_token"] == " w7", "entropy"] *= 2
    rows = testing.by_token(made(tmp_path, {"a": table, "b": other}), "a", "b")
    assert [row["token"] for row in rows if row["p_bh"] < 0.05] == [" w7"]


def test_two_groups_by_hand():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.5, 6.0])
    found = two_groups(a, b)
    se = math.sqrt(a.var(ddof=1) / 4 + b.var(ddof=1) / 3)
    assert found.difference == pytest.approx(-1.0)
    assert (found.interval.low + found.interval.high) / 2 == pytest.approx(-1.0)
    df = se**4 / ((a.var(ddof=1) / 4) ** 2 / 3 + (b.var(ddof=1) / 3) ** 2 / 2)
    from scipy import stats

    assert found.p == pytest.approx(2 * stats.t.sf(1 / se, df))
    assert found.interval.high - found.interval.low == pytest.approx(2 * se * stats.t.ppf(0.975, df))
    flat = two_groups(np.ones(3), np.ones(4))
    assert (flat.p, flat.interval.known) == (1.0, False)
    assert not two_groups(np.ones(1), a).interval.known
    with pytest.raises(ValueError, match="finite"):
        two_groups(np.array([math.nan]), a)


def test_the_least_certain_tokens_of_one_model(tmp_path):
    table = model(np.random.default_rng(7))
    table.loc[table["next_token"] == " of", "entropy"] += 2
    found = made(tmp_path, {"a": table})
    rows = groups.by_token(found)
    assert rows[0]["token"] == " of"
    own = table.loc[table["next_token"] == " of", "entropy"]
    assert rows[0]["mean_entropy"] == pytest.approx(own.mean())
    assert rows[0]["low"] < own.mean() < rows[0]["high"]
    assert rows[0]["tokens"] == len(own)
    assert figures.tokens(found.names, rows).keys() == {"tokens.png", "tokens.svg"}


def test_tokens_of_the_studys_files_come_back_as_they_were():
    words = ["\r", "\n", "\r\n", '"', ",", " a", "=1", "é", "\u2028"]
    table = pd.DataFrame({"current_token": words, "next_token": words[::-1], "entropy": np.linspace(0, 3, 9),
                          "probability_of_next_token": np.linspace(0, 1, 9)})  # fmt: skip
    read = pd.read_csv(io.StringIO(study._csv(table), newline=""), keep_default_na=False)
    pd.testing.assert_frame_equal(read, table)


def test_a_model_called_as_a_field_overwrites_none(tmp_path):
    names = ("prompt", "task", "doc_id", "generated_texts", "m")
    rng = np.random.default_rng(8)
    found = made(tmp_path, {name: model(rng, texts=2, tokens=3) for name in names})
    [content] = study.PerPrompt(found).texts(1)[1].values()
    document = json.loads(content)
    assert (document["prompt"], document["task"], document["doc_id"]) == ("p", "", 1)
    assert document["generated_texts"] == dict.fromkeys(names, "<b>x")
    assert document["m"] == "<b>x"


def test_bits_per_byte_are_of_the_scored_bytes(tmp_path):
    table = model(np.random.default_rng(9), texts=4, tokens=5)
    found = made(tmp_path, {"a": table})
    found.texts["a"] = found.texts["a"].assign(n_bytes=[10, 20, 30, 40])
    [row] = overview.overview(found)
    assert row["bits_per_byte"] == pytest.approx(table["surprisal"].sum() / math.log(2) / 100)


def test_large_tables_of_two_models_are_in_memory_at_once(tmp_path, monkeypatch):
    reads: list[str] = []
    monkeypatch.setattr(load.Tables, "KEPT_BYTES", 0)

    class Table:
        def to_pandas(self):
            return pd.DataFrame({"x": [1]})

    monkeypatch.setattr(load.parquet, "read", lambda path, _columns: reads.append(path.name) or Table())
    tables = load.Tables(tmp_path, ["a", "b", "c"])
    for _ in range(2):
        assert len(tables["a"]) == len(tables["b"]) == 1
    assert reads == ["a", "b"]
    assert list(tables) == ["a", "b", "c"]
    assert [len(table) for table in tables.values()] == [1, 1, 1]
    assert len(tables._kept) == 2
    with pytest.raises(KeyError):
        tables["d"]
    monkeypatch.undo()
    monkeypatch.setattr(load.parquet, "read", lambda path, _columns: reads.append(path.name) or Table())
    small = load.Tables(tmp_path, ["a", "b", "c"])
    reads.clear()
    for _ in range(2):
        assert len(list(small.values())) == 3
    assert reads == ["a", "b", "c"]
