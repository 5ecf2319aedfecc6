"""Analyses of measured entropies: what was planted is found, and nothing where nothing is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lmx_analysis.entropy import divergence, forking, groups, page, testing
from lmx_analysis.entropy.load import Measurement
from lmx_analysis.stats import two_groups

PLAN = {"models": [{"name": "a"}, {"name": "b"}], "mode": "teacher", "stamp": "s"}


def made(tmp_path, tables: dict[str, pd.DataFrame], correct=None) -> Measurement:
    found = Measurement(tmp_path, {**PLAN, "models": [{"name": name} for name in tables]})
    count = int(max(table["text"].max() for table in tables.values())) + 1
    texts = pd.DataFrame({"text": range(count), "task": "", "doc_id": range(count), "prompt": "p", "answer": "<b>x",
                          "n_bytes": 4, "correct": math.nan if correct is None else correct})  # fmt: skip
    found.__dict__.update(tokens=tables, texts=dict.fromkeys(tables, texts))
    return found


def model(rng, texts=60, tokens=40, level=None, shift=0.0) -> pd.DataFrame:
    """Entropies whose texts have levels of their own, as real ones do."""
    level = rng.gamma(8, 0.15, texts) if level is None else level
    h = rng.gamma(1.2, 1.0, (texts, tokens)) * level[:, None] * (1 + shift)
    text = np.repeat(np.arange(texts), tokens)
    word = rng.choice([" the", " of", "\n", "<i>"], texts * tokens)
    return pd.DataFrame({"text": text, "task": "", "position": np.tile(np.arange(tokens), texts), "entropy": h.ravel(),
                         "next_token": word, "current_token": word, "surprisal": h.ravel(),
                         "varentropy": h.ravel() ** 2, "probability_of_next_token": np.exp(-h.ravel()), "rank": 1,
                         "source": None, "fill_step": None})  # fmt: skip


def changed(rng, table: pd.DataFrame, shift: float) -> pd.DataFrame:
    """The same tokens read by a model whose entropies differ by noise of their own and by a shift."""
    h = table["entropy"] * np.exp(rng.normal(0, 0.3, len(table)) - 0.045) * (1 + shift)
    return table.assign(entropy=h)


def rejections(tmp_path, repeats: int, shift: float, seed: int) -> int:
    rng, count = np.random.default_rng(seed), 0
    for i in range(repeats):
        table = model(rng)
        found = made(tmp_path, {"a": table, "b": changed(rng, table, shift)})
        rows = testing.between_models(found, resamples=999, seed=i)
        count += rows[0]["p"] < 0.05
    return count


def test_a_planted_shift_of_three_percent_is_found(tmp_path):
    assert rejections(tmp_path, 30, 0.03, 1) >= 27


def test_two_readings_that_do_not_differ_are_found_to_in_one_of_twenty(tmp_path):
    assert rejections(tmp_path, 60, 0.0, 2) <= 8  # 5 % of 60 are 3; 9 or more have a probability below 0.01


@pytest.mark.full
def test_rates_of_finding_over_many_repeats(tmp_path):
    assert rejections(tmp_path, 100, 0.03, 3) >= 90
    assert rejections(tmp_path, 400, 0.0, 4) <= 30  # 5 % are 20, with a standard error of 4.4


def test_disjoint_halves_of_prompts_do_not_differ():
    rng, found = np.random.default_rng(5), 0
    for _ in range(400):
        means = rng.gamma(8, 0.15, 60)
        found += two_groups(means[:30], means[30:]).p < 0.05
    assert found <= 30


def test_right_and_wrong_answers_are_told_apart(tmp_path):
    rng = np.random.default_rng(6)
    correct = np.array([1.0, 0.0] * 30)
    level = np.where(correct == 1, 0.8, 1.4) * rng.uniform(0.9, 1.1, 60)
    rows = testing.right_and_wrong(made(tmp_path, {"a": model(rng, level=level)}, correct))
    assert rows[0]["p_holm"] < 1e-6
    assert rows[0]["difference"] < -0.4
    assert (rows[0]["n_right"], rows[0]["n_wrong"]) == (30, 30)


def test_a_token_that_changed_is_the_one_that_is_found(tmp_path):
    rng = np.random.default_rng(7)
    table = model(rng, texts=80)
    other = changed(rng, table, 0.0)
    other.loc[other["next_token"] == " of", "entropy"] *= 1.2
    rows = testing.by_token(made(tmp_path, {"a": table, "b": other}), "a", "b")
    assert [row["token"] for row in rows if row["p_bh"] < 0.01] == [" of"]
    rare = table.assign(next_token=[" rare" if i < 19 else " x" for i in range(len(table))])
    rows = testing.by_token(made(tmp_path, {"a": rare, "b": rare}), "a", "b")
    assert [row["token"] for row in rows] == [" x"]


def test_forking_tokens_of_unrelated_models_overlap_as_by_chance():
    rng = np.random.default_rng(8)
    a, b = (forking.forking(rng.gamma(1, 1, 50_000)) for _ in range(2))
    found = forking.overlap(a, b)
    assert found["overlap_by_chance"] == pytest.approx(0.2, abs=1e-3)
    assert found["jaccard_by_chance"] == pytest.approx(1 / 9, abs=1e-3)
    assert found["overlap"] == pytest.approx(0.2, abs=0.015)
    assert found["jaccard"] == pytest.approx(1 / 9, abs=0.01)
    assert forking.overlap(a, a)["jaccard"] == 1


def test_deciles_cover_all_tokens_once(tmp_path):
    rng = np.random.default_rng(9)
    table = model(rng)
    rows = groups.deciles(made(tmp_path, {"a": table, "b": table.assign(entropy=table["entropy"] / 2)}))
    for name in "ab":
        for points in ("own", "common"):
            chosen = [row for row in rows if row["model"] == name and row["cut_points"] == points]
            assert sum(row["tokens"] for row in chosen) == len(table)
    own = [row["share"] for row in rows if row["model"] == "b" and row["cut_points"] == "own"]
    assert own == pytest.approx([0.1] * 10, abs=0.001)


def test_the_summary_of_divergences():
    rng = np.random.default_rng(10)
    n = 1000
    table = pd.DataFrame({"text": np.repeat(np.arange(100), 10), "kl_ab": rng.gamma(1, 0.1, n), "kl_ba": 0.2, "js": 0.1,
                          "delta_probability": rng.choice([-0.1, 0.1], n), "same_top": np.arange(n) % 4 > 0,
                          "rank_a_in_b": 1, "rank_b_in_a": 2, "surprisal_a": 1.0,
                          "surprisal_b": 1.1 + rng.normal(0, 0.1, n)})  # fmt: skip
    found = divergence.summary(table, table["text"].to_numpy())
    assert found["kl_ab_mean"] == pytest.approx(table["kl_ab"].mean())
    assert found["kl_ab_p99_9"] == pytest.approx(np.quantile(table["kl_ab"], 0.999))
    assert found["delta_p_rms"] == pytest.approx(0.1)
    assert found["same_top"] == 0.75
    assert found["perplexity_ratio"] == pytest.approx(math.exp((table["surprisal_b"] - 1).mean()))
    assert found["kl_ab_error"] == pytest.approx(0.1 / math.sqrt(n), rel=0.25)


def test_the_page_escapes_every_text(tmp_path):
    found = made(tmp_path, {"a": model(np.random.default_rng(11), texts=2, tokens=30)})
    text = page.page(found, {"overview": [{"model": "<script>", "x": 1.0}]}, {}, "<title>")
    assert "<script>" not in text
    assert "<i>" not in text
    assert "&lt;i&gt;" in text
