"""`lmx entropy` from end to end: the study's files, killed runs, bad input, and both modes' values."""

from __future__ import annotations

import copy
import functools
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lmx_files import parquet
from lmx_files.errors import UserError
from lmx_models.core.sampling import Sampling
from lmx_probes import models
from lmx_probes.entropy import measurement as measuring
from lmx_probes.entropy import workspace
from lmx_probes.entropy.encode import encode
from lmx_probes.entropy.generate import Writing
from lmx_probes.entropy.inputs import Inputs, Item, from_prompts
from lmx_probes.entropy.samples import from_run
from tests.unit.probes.tiny_models import tokenizer

PROMPTS = Path(measuring.__file__).parent / "prompts.jsonl"
PAIR = ("tiny-base", "tiny-oracle")


_load = functools.cache(models.load)


@pytest.fixture(autouse=True)
def one_load(monkeypatch):
    """Share loaded models: `opened` lets go of them, which these tests need not."""
    monkeypatch.setattr(models, "load", lambda name, *args, **more: _load(name))


def options(folder: Path, names=PAIR, **more) -> measuring.Options:
    return measuring.Options(tuple(names), tuple(names), folder, device="cpu", **more)


def digest(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def items(count: int = 24) -> Inputs:
    found = from_prompts(PROMPTS, texts=True).items
    return Inputs([Item(f"{i}: {found[i % 12].prompt}", found[i % 12].text, "t", i) for i in range(count)])


def test_killed_at_random_moments_the_bytes_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(workspace, "PART_TOKENS", 100)
    whole = tmp_path / "whole"
    measuring.entropy(items(), options(whole), "stamp")
    expected = digest(whole)
    assert sum("tokens/tiny-base" in name for name in expected) > 8

    class KilledError(BaseException):
        pass

    draw = random.Random(5)
    killed = tmp_path / "killed"
    real = parquet.write
    for _ in range(10):
        left = draw.randrange(1, 7)

        def write(path, table):
            nonlocal left
            left -= 1
            if left == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_name(f".{path.name}.torn.part").write_bytes(b"PAR1")  # what a killed write leaves
                raise KilledError
            real(path, table)

        monkeypatch.setattr(parquet, "write", write)
        try:
            measuring.entropy(items(), options(killed), "another stamp")
        except KilledError:
            continue
    monkeypatch.setattr(parquet, "write", real)
    measuring.entropy(items(), options(killed), "another stamp")
    for torn in killed.rglob("*.part"):
        torn.unlink()
    found = digest(killed)
    assert json.loads(found.pop("data/plan.json"))["stamp"] == "another stamp"
    expected.pop("data/plan.json")
    assert found == expected


def test_another_measurement_is_not_mixed_in(tmp_path):
    measuring.entropy(items(4), options(tmp_path / "a"), "s")
    with pytest.raises(UserError, match="another measurement \\(inputs differ\\)"):
        measuring.entropy(items(5), options(tmp_path / "a"), "s")


def test_batch_size_changes_nothing_but_rounding(tmp_path):
    tables = []
    for size in (1, 16):
        measuring.entropy(items(), options(tmp_path / str(size), batch_size=size), "s")
        tables.append(parquet.read(tmp_path / str(size) / "data/tokens/tiny-base").to_pandas())
    a, b = tables
    assert (a["next_id"] == b["next_id"]).all()
    assert (a["text"].diff().dropna() >= 0).all()  # in the order of the input
    for name in ("entropy", "surprisal", "varentropy", "margin"):
        assert np.abs(a[name] - b[name]).max() < 1e-5


def test_written_texts_have_the_values_of_a_reading(tmp_path):
    prompts = Inputs([Item(item.prompt, None, "", i) for i, item in enumerate(items(6).items)])
    writing = Writing(20, 3, Sampling(temperature=0.8), rows=4)
    measuring.entropy(prompts, options(tmp_path / "g", mode="generate", writing=writing), "s")
    for name in PAIR:
        table = parquet.read(tmp_path / "g/data/tokens" / name).to_pandas()
        texts = parquet.read(tmp_path / "g/data/texts" / name).to_pandas()
        probe = models.load(name)
        words = probe.tokenizer
        for number, group in table.groupby("text"):
            ids = words.encode(texts["prompt"][number])
            with torch.inference_mode():
                z = probe.model(torch.tensor([[*ids, *group["next_id"]]])).logits[0, len(ids) - 1 : -1].double()
            log_p = torch.log_softmax(z, -1)
            assert np.abs(-(log_p.exp() * log_p).sum(-1).numpy() - group["entropy"]).max() < 1e-5
            own = log_p[range(len(group)), group["next_id"].tolist()].numpy()
            assert np.abs(np.exp(own) - group["probability_of_next_token"]).max() < 1e-5
    again = tmp_path / "again"
    measuring.entropy(prompts, options(again, mode="generate", writing=writing), "s")
    assert digest(again) == digest(tmp_path / "g")


def test_logits_that_are_no_numbers_are_named_and_nothing_is_left(tmp_path, monkeypatch):
    real = models.load

    def damaged(name, *args, **more):
        probe = real(name, *args, **more)
        weights = probe.head.weight.clone()
        weights[5] = float("nan")
        return models.ProbeModel(name, probe.model, probe.tokenizer, probe.decoder, models.Head(weights))

    monkeypatch.setattr(models, "load", damaged)
    with pytest.raises(UserError, match="NaN or infinite at document 0 of t, position 0"):
        measuring.entropy(items(3), options(tmp_path / "bad"), "s")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_named_in_texts_that_are_written(tmp_path, monkeypatch, temperature):
    real = models.load("tiny-base")
    damaged = copy.deepcopy(real.model)
    embedding = damaged.get_input_embeddings()
    # The model fails behind one token: the text that meets it first is the one to be named.
    bad = real.tokenizer.encode(" party")[-1]
    with torch.no_grad():
        embedding.weight[bad] = float("nan")
    probe = models.ProbeModel("damaged", damaged, real.tokenizer, damaged.model, real.head)
    monkeypatch.setattr(models, "load", lambda *_args, **_more: probe)
    given = Inputs([Item("Plan a", None, "t", 0), Item("Plan a party", None, "t", 1)])
    writing = Writing(4, 1, Sampling(temperature=temperature), rows=2)
    if damaged.config.tie_word_embeddings:
        with torch.no_grad():
            damaged.lm_head.weight = torch.nn.Parameter(real.model.lm_head.weight.clone())
    with pytest.raises(UserError, match="NaN or infinite in the text of document 1 of t, at position 0"):
        measuring.entropy(given, options(tmp_path / "bad", ("tiny-base",), mode="generate", writing=writing), "s")
    assert not (tmp_path / "bad").exists()


def test_other_vocabularies_are_refused_for_shared_tokens(tmp_path):
    source = Path(models.catalogue.TINY) / "tiny-base"
    other = tmp_path / "other"
    shutil.copytree(source, other)
    words = tokenizer()
    words.add_tokens(["<another>"])
    words.save_pretrained(other)
    with pytest.raises(UserError, match="other vocabularies"):
        measuring.entropy(items(2), measuring.Options(("tiny-base", str(other)), ("a", "b"), tmp_path / "o"), "s")
    assert not (tmp_path / "o").exists()


def test_a_model_that_is_missing_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="tiny-bsae"):
        measuring.entropy(items(2), options(tmp_path / "m", ("tiny-bsae",)), "s")
    assert not (tmp_path / "m").exists()


def test_names_that_are_no_file_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="part of a file's name"):
        measuring.Options(("tiny-base",), ("../x",), tmp_path)
    with pytest.raises(UserError, match="two models are called"):
        measuring.Options(("a/m", "b/m"), ("m", "m"), tmp_path)


def test_first_token_and_beginning_of_text():
    words = tokenizer()
    begin = words.bos_token_id if words.bos_token_id is not None else words.eos_token_id
    alone = encode(Item("", "a plan"), words)
    assert alone.tokens[0] == begin
    assert alone.start == 1
    assert alone.tokens[1:] == words.encode("a plan", add_special_tokens=False)
    behind = encode(Item("Write", " a plan"), words)
    assert behind.tokens == words.encode("Write a plan")
    assert behind.start == len(words.encode("Write"))
    long = encode(Item("Write " * 50, "a plan"), words, longest=20)
    assert len(long.tokens) == 20
    assert long.dropped > 0
    with pytest.raises(UserError, match="cut it"):
        encode(Item("Write", " a plan" * 50), words, longest=20)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"prompt": "a"}\n', "no text to score"),
        ('{"prompt": "a", "text": "b"}\n{"prompt": "a", "te', "line 2"),
        ("", "is empty"),
        ('{"text": "b"}\n', "needs prompt"),
    ],
)
def test_bad_prompts_are_one_line(tmp_path, content, why):
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=why) as raised:
        from_prompts(path, texts=True)
    assert "\n" not in str(raised.value)


def test_the_studys_columns(tmp_path):
    from lmx_analysis.entropy import results

    measuring.entropy(items(3), options(tmp_path), "20260101_000000")
    results.write(tmp_path, "trial", plots=False)
    table = pd.read_csv(tmp_path / "prompt_1/tiny-base_stats_20260101_000000.csv", keep_default_na=False)
    assert list(table.columns) == ["current_token", "next_token", "entropy", "probability_of_next_token"]
    assert list(table["current_token"][1:]) == list(table["next_token"][:-1])
    steps = pd.read_csv(tmp_path / "tiny-base_token_stats.csv", keep_default_na=False)
    assert steps["generation_step"].iloc[0] == 0
    summary = json.loads((tmp_path / "summary_stats_20260101_000000.json").read_text())
    assert summary["total_prompts"] == 3
    assert summary["tiny-base_total_tokens"] == len(steps)
    assert set(summary["tiny-base_entropy_stats"]) == {"count", "mean", "std", "min", "25%", "50%", "75%", "max"}
    compared = json.loads((tmp_path / "model_comparison_20260101_000000.json").read_text())["model_comparison"]
    assert compared["tiny-oracle"]["entropy_percentiles"].keys() >= {"5%", "95%"}
    assert compared["tiny-base"]["mean_entropy"] == pytest.approx(steps["entropy"].mean())
    deciles = json.loads((tmp_path / "qcut_analysis_20260101_000000.json").read_text())["qcut_analysis"]["tiny-base"]
    assert sum(deciles[f"bin_{i}"]["size"] for i in range(1, deciles["n_bins"] + 1)) == len(steps)
    for name in ("current", "next"):
        counts = pd.read_csv(tmp_path / f"tiny-base_token_analysis_{name}_20260101_000000.csv", keep_default_na=False)
        assert counts["count"].sum() == len(steps)


def run_folder(folder: Path, samples: list[dict], results: dict) -> Path:
    folder.mkdir()
    stamp = "2026-01-01T00-00-00.000000"
    (folder / f"results_{stamp}.json").write_text(json.dumps(results))
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    (folder / f"samples_t_{stamp}.jsonl").write_text(lines)
    return folder


RESULTS = {"results": {"t": {"alias": "t"}}, "configs": {"t": {}}, "config": {"model": "hf"},
           "n-samples": {"t": {"original": 1, "effective": 1}}}  # fmt: skip


def sample(resps, **more):
    return {"doc_id": 0, "doc": {}, "target": "four", "arguments": {"gen_args_0": {"arg_0": "2 and 2:", "arg_1": {}}},
            "resps": resps, "filtered_resps": [], "filter": "none", "metrics": ["acc"], "acc": 1.0,
            "doc_hash": "d", "prompt_hash": "p", "target_hash": "t", **more}  # fmt: skip


def test_samples_of_plain_lm_eval(tmp_path):
    found = from_run(run_folder(tmp_path / "r", [sample([[" 4"]])], RESULTS), "logged", metric=lambda _r, _t: "acc")
    assert [(i.prompt, i.text, i.correct, i.tokens) for i in found.items] == [("2 and 2:", " 4", 1.0, None)]
    gold = from_run(tmp_path / "r", "gold")
    assert gold.items[0].text == " four"


def test_samples_without_text_are_one_line(tmp_path):
    with pytest.raises(UserError, match="likelihoods, not texts"):
        from_run(run_folder(tmp_path / "r", [sample([[[-1.5, True]]])], RESULTS), "logged")
    with pytest.raises(UserError, match="1 texts of t are empty"):
        from_run(run_folder(tmp_path / "e", [sample([[""]])], RESULTS), "logged")
