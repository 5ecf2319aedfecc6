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

from training.tiny import build, data
from training.tiny.batches import batches
from training.tiny.evaluate import DECODING, evaluate
from training.tiny.objectives import OBJECTIVES
from training.tiny.spec import FAMILY, Spec
from training.tiny.train import build_model, take_over, train

NAMES = tuple(FAMILY)
DIFFUSION = tuple(name for name, spec in FAMILY.items() if spec.objective != "ar")
TARGETS = (("category_counting", "accuracy"), ("constraint_tiny", "solved"))


def sample_of(name: str) -> dict[str, int]:
    """Return how many held-out prompts of each task are answered here; the diffusion decoders are slow."""
    return {"category_counting": 40, "constraint_tiny": 8 if name in DIFFUSION else 40}


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
    return {name: evaluate(model, tok, *sample_of(name).values()) for name, (model, tok, _) in family.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_reaches_its_recorded_scores(name, family, scores):
    record = family[name][2]["scores"]["chat"]
    for task, metric in TARGETS:
        three_standard_errors = 3 * (0.25 / sample_of(name)[task]) ** 0.5
        assert abs(scores[name][task][metric] - record[task][metric]) < three_standard_errors


def test_the_oracle_is_strong_and_the_base_is_weaker_but_works(family):
    strong, weak = (family[name][2]["scores"]["chat"] for name in ("tiny-oracle", "tiny-base"))
    for task, metric in (("category_counting", "accuracy"), ("constraint_tiny", "all_strict")):
        assert strong[task][metric] >= 0.9
        assert 0.2 <= weak[task][metric] <= 0.7
    assert weak["category_counting"]["parse_rate"] > 0.95


def test_the_oracle_beats_the_base_on_the_sample(scores):
    for task, metric in TARGETS:
        assert scores["tiny-oracle"][task][metric] > scores["tiny-base"][task][metric] + 0.1


def test_diffusion_members_are_as_good_as_the_readme_says(family):
    scores = {name: family[name][2]["scores"] for name in NAMES}
    oracle = scores["tiny-oracle"]["chat"]
    for name in DIFFUSION:
        counted = scores[name]["chat"]["category_counting"]["accuracy"]
        assert counted >= 0.95 * oracle["category_counting"]["accuracy"]
        planned = scores[name]["chat"]["constraint_tiny"]
        assert planned["on_topic"] > 0.95
        assert planned["tokens_per_forward"] > 2
        assert planned["solved"] >= 0.95 * oracle["constraint_tiny"]["solved"]
    careful = scores["tiny-wedlm"]["careful"]["constraint_tiny"]
    assert careful["solved"] >= 0.95 * oracle["constraint_tiny"]["solved"]
    assert careful["tokens_per_forward"] > 2


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
    assert {p.suffix for p in (build.SHIPPED / name).iterdir()} == {".json", ".jinja", ".safetensors"}
    text = "".join(p.read_text() for p in (build.SHIPPED / name).glob("*.json"))
    assert "/home" not in text
    assert str(Path.cwd()) not in text


@pytest.mark.parametrize("name", DIFFUSION)
def test_a_diffusion_model_says_how_to_decode_it(name, family):
    model, tokenizer, record = family[name]
    assert model.config.model_type == "qwen3"
    assert model.config.mask_token_id == tokenizer.mask_token_id
    assert model.config.lmx_decoding == FAMILY[name].objective == record["decoding"]["method"]
    assert model.config.block_length == FAMILY[name].block_length
    assert record["decoding"] == {"method": FAMILY[name].objective, **DECODING[FAMILY[name].objective]}


def test_a_grown_model_first_computes_what_the_smaller_one_did(family):
    model, tokenizer, _ = family["tiny-oracle"]
    torch.manual_seed(0)
    grown = build_model(replace(FAMILY["tiny-oracle"], layers=5), tokenizer)
    take_over(grown, build.SHIPPED / "tiny-oracle")
    ids = torch.tensor([tokenizer.encode("How does salt change the growth of moss?")])
    with torch.no_grad():
        assert torch.allclose(grown(ids).logits, model(ids).logits, atol=1e-5)


def test_a_member_starts_from_the_one_beside_it_and_else_from_the_shipped_one(tmp_path):
    assert build.start_folder(FAMILY["tiny-oracle"], tmp_path) is None
    assert build.start_folder(FAMILY["tiny-wedlm"], tmp_path) == build.SHIPPED / "tiny-oracle"
    (tmp_path / "tiny-oracle").mkdir()
    (tmp_path / "tiny-oracle" / "config.json").write_text("{}")
    assert build.start_folder(FAMILY["tiny-wedlm"], tmp_path) == tmp_path / "tiny-oracle"


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
