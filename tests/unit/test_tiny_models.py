"""The shipped tiny models load, round-trip text, and answer as well as their records say."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lmx_models.tiny import build, data
from lmx_models.tiny.evaluate import evaluate
from lmx_models.tiny.train import FAMILY, OBJECTIVES, Spec, batches, train

NAMES = tuple(FAMILY)
SAMPLE = 40
"""Held-out prompts of each task that are answered here; one standard error of a rate is up to 0.08."""


@pytest.fixture(scope="module")
def family():
    return {
        name: (
            AutoModelForCausalLM.from_pretrained(build.SHIPPED / name, dtype=torch.float32).eval(),
            AutoTokenizer.from_pretrained(build.SHIPPED / name),
            json.loads((build.SHIPPED / name / build.RECORD).read_text()),
        )
        for name in NAMES
    }


@pytest.fixture(scope="module")
def one_thread():
    """Models this small run faster on one thread, and training repeats exactly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scores(family, one_thread):
    return {name: evaluate(model, tok, SAMPLE, SAMPLE) for name, (model, tok, _) in family.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_reaches_its_recorded_scores(name, family, scores):
    record = family[name][2]["scores"]["chat"]
    for task, metric in (("category_counting", "accuracy"), ("constraint_tiny", "solved")):
        assert abs(scores[name][task][metric] - record[task][metric]) < 0.25


def test_the_oracle_is_strong_and_the_base_is_weaker_but_works(family):
    strong, weak = (family[name][2]["scores"]["chat"] for name in ("tiny-oracle", "tiny-base"))
    for task, metric in (("category_counting", "accuracy"), ("constraint_tiny", "all_strict")):
        assert strong[task][metric] >= 0.9
        assert 0.2 <= weak[task][metric] <= 0.7
    assert weak["category_counting"]["parse_rate"] > 0.95


def test_the_oracle_beats_the_base_on_the_sample(scores):
    for task, metric in (("category_counting", "accuracy"), ("constraint_tiny", "solved")):
        assert scores["tiny-oracle"][task][metric] > scores["tiny-base"][task][metric] + 0.1


def test_the_family_shares_one_tokenizer():
    texts = {(build.SHIPPED / name / "tokenizer.json").read_text() for name in NAMES}
    assert len(texts) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_model_folder_is_complete_and_small(name, family):
    model, tokenizer, record = family[name]
    assert sum(p.stat().st_size for p in (build.SHIPPED / name).iterdir()) < 8e6
    assert model.config.max_position_embeddings >= 1024
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.mask_token == data.MASK
    assert model.config.vocab_size == len(tokenizer)
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    text = "".join(p.read_text() for p in (build.SHIPPED / name).glob("*.json"))
    assert "/home" not in text
    assert str(Path.cwd()) not in text


def test_tokenizer_round_trips_every_text(family):
    tokenizer = family["tiny-base"][1]
    rng = random.Random(0)
    texts = [e.prompt + e.answer for stream in data.STREAMS.values() for e in islice(stream(rng), 50)]
    texts += ["\n\n  two\tspaces  \r\n", "<END>", "- a\n<END>\n", "naïve – 漢字 🙂", " ", "<|user|>x<|MASK|>"]
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_chat_template_has_no_bos_and_the_training_format(family):
    tokenizer = family["tiny-base"][1]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi\n"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|system|>Be brief.<|eos|><|user|>Hi\n<|eos|><|assistant|>"
    with_specials = tokenizer.encode(text, add_special_tokens=True)
    assert with_specials == tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.bos_token is None


def test_training_is_seeded(family, one_thread):
    tokenizer = family["tiny-base"][1]
    spec = Spec("x", "llama", hidden=16, layers=1, heads=2, steps=2, batch={"counting": 4}, lr=1e-3, muon_lr=1e-3)
    runs = [train(spec, tokenizer, seed)[0].state_dict() for seed in (0, 0, 1)]
    name = "model.embed_tokens.weight"
    assert torch.equal(runs[0][name], runs[1][name])
    assert not torch.equal(runs[0][name], runs[2][name])


def test_loss_is_over_answers_only(family):
    model, tokenizer, _ = family["tiny-base"]
    spec = replace(FAMILY["tiny-base"], prompt_weight=0.0)
    batch = next(batches("counting", 4, tokenizer, seed=0))
    with torch.no_grad():
        loss = OBJECTIVES["ar"](model, batch, spec)
        logits = model(batch.ids).logits
    expected = [
        torch.nn.functional.cross_entropy(logits[row, at - 1], batch.ids[row, at])
        for row in range(4)
        for at in range(int(batch.prompt_lengths[row]), int(batch.lengths[row]))
    ]
    assert torch.allclose(loss, torch.stack(expected).mean(), atol=1e-5)
