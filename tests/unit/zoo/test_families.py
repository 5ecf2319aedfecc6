"""Checkpoints of other projects' model types load with transformers' own classes and give the same logits."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lmx_files.errors import UserError
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.zoo import catalogue, family_table
from lmx_models.zoo.families import load, mask_id
from lmx_models.zoo.family_table import FAMILIES, family_of
from lmx_models.zoo.loading import end_ids

TOKENIZER = AutoTokenizer.from_pretrained(catalogue.resolve("tiny-base").pretrained)
SMALL = {
    "vocab_size": len(TOKENIZER) + 10,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "eos_token_id": 1,
    "bos_token_id": None,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
THETA = {"rope_type": "default", "rope_theta": 5000.0}
STOCK = {
    "llama": LlamaForCausalLM(LlamaConfig(**SMALL, rope_parameters=THETA)),
    "qwen2": Qwen2ForCausalLM(Qwen2Config(**SMALL, rope_parameters=THETA)),
    "qwen3": Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=16, rope_parameters=THETA)),
}
# From transformers' names to LLaDA's, as its published checkpoints have them.
LLADA = [
    (r"model\.embed_tokens\.", "model.transformer.wte."),
    (r"model\.norm\.", "model.transformer.ln_f."),
    (r"lm_head\.", "model.transformer.ff_out."),
    (r"model\.layers\.(\d+)\.self_attn\.o_proj", r"model.transformer.blocks.\1.attn_out"),
    (r"model\.layers\.(\d+)\.self_attn\.", r"model.transformer.blocks.\1."),
    (r"model\.layers\.(\d+)\.mlp\.gate_proj", r"model.transformer.blocks.\1.ff_proj"),
    (r"model\.layers\.(\d+)\.mlp\.up_proj", r"model.transformer.blocks.\1.up_proj"),
    (r"model\.layers\.(\d+)\.mlp\.down_proj", r"model.transformer.blocks.\1.ff_out"),
    (r"model\.layers\.(\d+)\.input_layernorm", r"model.transformer.blocks.\1.attn_norm"),
    (r"model\.layers\.(\d+)\.post_attention_layernorm", r"model.transformer.blocks.\1.ff_norm"),
]
LLADA_CONFIG = {
    "model_type": "llada",
    "architectures": ["LLaDAModelLM"],
    "auto_map": {
        "AutoConfig": "configuration_llada.LLaDAConfig",
        "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
    },
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 4,
    "n_kv_heads": 2,
    "mlp_hidden_size": 48,
    "embedding_size": SMALL["vocab_size"],
    "vocab_size": SMALL["vocab_size"],
    "max_sequence_length": 128,
    "rms_norm_eps": 1e-6,
    "rope_theta": 5000.0,
    "weight_tying": False,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "mask_token_id": 7,
    "activation_type": "silu",
    "block_type": "llama",
    "layer_norm_type": "rms",
    "include_bias": False,
    "include_qkv_bias": False,
    "attention_layer_norm": False,
    "rope": True,
    "alibi": False,
}


def flat_config(shape: str, model_type: str, **more) -> dict:
    """Return a config.json in the older form that these repositories have, with ``rope_theta`` at the top."""
    config = {**SMALL, "model_type": model_type, "rope_theta": 5000.0, "rope_scaling": None, "hidden_act": "silu"}
    config |= {"head_dim": 16} if shape == "qwen3" else {}
    config |= {"use_sliding_window": False, "sliding_window": None, "torch_dtype": "float32", "use_cache": False}
    return config | {"auto_map": {"AutoConfig": "configuration_x.XConfig", "AutoModel": "modeling_x.XModel"}} | more


CASES = {
    "WeDLM 7B": ("qwen2", flat_config("qwen2", "wedlm", mask_token_id=None, max_position_embeddings=16384)),
    "WeDLM 8B": ("qwen3", flat_config("qwen3", "wedlm", mask_token_id=None)),
    "LLaDA": ("llama", LLADA_CONFIG),
    "Dream": ("qwen2", flat_config("qwen2", "Dream", mask_token_id=7, use_mrope=False)),
    "dLLM Qwen3": ("qwen3", flat_config("qwen3", "a2d-qwen3")),
    "dLLM Qwen2": ("qwen2", flat_config("qwen2", "a2d-qwen2")),
    "dLLM Llama": ("llama", flat_config("llama", "tiny-a2d-llama")),
}


def write_folder(folder: Path, case: str, change=None) -> Path:
    """Write the random model of `case` as its family's repositories look; `change` edits config and weights."""
    shape, config = CASES[case]
    STOCK[shape].save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    if case == "LLaDA":
        for pattern, replacement in LLADA:
            weights = {re.sub(rf"^{pattern}", replacement, name): value for name, value in weights.items()}
    config = dict(config)
    if change:
        change(config, weights)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def logits_of(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.arange(2, 32)[None]).logits


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_stock_class(case, tmp_path):
    folder = write_folder(tmp_path / "model", case)
    model, tokenizer, family = load(catalogue.resolve(str(folder)), case)
    assert case.startswith(family.name)
    assert type(model) is type(STOCK[CASES[case][0]])
    torch.testing.assert_close(logits_of(model), logits_of(STOCK[CASES[case][0]]), rtol=0, atol=1e-6)
    assert tokenizer.encode("Plan <END>") == TOKENIZER.encode("Plan <END>")


@pytest.mark.parametrize("case", ["WeDLM 8B", "LLaDA"])
def test_any_method_takes_such_a_folder_as_pretrained(case, tmp_path):
    folder = write_folder(tmp_path / "model", case)
    lm = AutoregressiveLM(pretrained=str(folder), device="cpu", batch_size=2, dtype="float32", max_length=100)
    torch.testing.assert_close(logits_of(lm.model), logits_of(STOCK[CASES[case][0]]), rtol=0, atol=1e-6)
    assert case.startswith(lm.family.name)
    assert lm.given["pretrained"] == str(folder)
    assert (lm.max_length, lm.engine_difference < 1e-5) == (100, True)
    assert "lmx" in lm.weights_identity()
    half = AutoregressiveLM(pretrained=str(folder), device="cpu", dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16


def test_models_that_transformers_knows_are_left_to_it():
    assert load(catalogue.resolve("tiny-base"), "tiny-base") is None
    assert AutoregressiveLM(pretrained="tiny-base", device="cpu").family is None
    assert family_of({"model_type": "qwen3"}) is None
    assert family_of({}) is None


def test_mask_ids(tmp_path):
    model = STOCK["llama"]
    plain = AutoTokenizer.from_pretrained(catalogue.resolve("tiny-base").pretrained)
    assert mask_id(model, plain) == plain.mask_token_id
    assert mask_id(model, plain, given=9) == 9

    class Vocabulary:
        mask_token_id = None

        def __init__(self, **words):
            self.words = words

        def get_vocab(self):
            return self.words

    assert mask_id(model, Vocabulary(**{"<|mdm_mask|>": 5})) == 5
    model.config.mask_token_id = 6
    assert mask_id(model, Vocabulary()) == 6
    del model.config.mask_token_id
    dream = next(family for family in FAMILIES if family.name == "Dream")
    with pytest.raises(UserError, match="mask_id=151666 lies outside the model's vocabulary"):
        mask_id(model, Vocabulary(), family=dream)
    with pytest.raises(UserError, match=r"no mask token.*set mask_id=N"):
        mask_id(model, Vocabulary())
    with pytest.raises(UserError, match="mask_id=-1"):
        mask_id(model, plain, given=-1)


def test_published_layouts():
    by_type = {kind: family for family in FAMILIES for kind in family.model_types}
    assert [by_type[kind].mask_id for kind in ("wedlm", "llada", "Dream")] == [151665, 126336, 151666]
    assert [kind for kind, family in by_type.items() if family.shifted] == ["Dream", "dream"]
    assert [kind for kind, family in by_type.items() if family.causal] == ["wedlm"]


def test_turn_ends_end_a_text_too(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "model", "dLLM Qwen3")
    monkeypatch.setattr(
        family_table, "FAMILIES", (family_table.Family("x", ("a2d-qwen3",), "qwen3", turn_ends=("<|user|>",)),)
    )
    model, tokenizer, _ = load(catalogue.resolve(str(folder)), "x")
    assert end_ids(model, tokenizer) == {1, tokenizer.get_vocab()["<|user|>"]}


def drop(name):
    return lambda config, weights: weights.pop(name)


def put(**fields):
    return lambda config, weights: config.update(fields)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("LLaDA", put(include_qkv_bias=True), "LLaDA with include_qkv_bias=True"),
        ("LLaDA", put(num_experts=64), "LLaDA with num_experts=64"),
        ("LLaDA", drop("model.transformer.ff_out.weight"), "weights lack 1 parameters, first 'lm_head.weight'"),
        ("WeDLM 8B", lambda c, w: w.update(extra=torch.zeros(1)), "weights have unknown 1 parameters, first 'extra'"),
        ("Dream", put(model_type="sdar"), "transformers does not know its model_type"),
        ("dLLM Qwen3", put(intermediate_size=64), "do not fit"),
    ],
)
def test_files_that_do_not_fit_are_refused(case, change, message, tmp_path):
    folder = write_folder(tmp_path / "model", case, change)
    with pytest.raises(UserError, match=message):
        AutoregressiveLM(pretrained=str(folder), device="cpu")
    if "sdar" not in json.loads((folder / "config.json").read_text())["model_type"]:
        with pytest.raises(UserError, match=message):
            load(catalogue.resolve(str(folder)), case)
