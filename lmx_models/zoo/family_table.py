"""Families of diffusion checkpoints whose ``model_type`` transformers does not know: what their files mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """One line of the table.

    Attributes:
        name: as messages call it.
        model_types: values of ``model_type`` in config.json.
        shape: the transformers model whose parameters fit: ``llama``, ``qwen2`` or ``qwen3``; ``qwen`` is Qwen3 where
            the weights have ``q_norm``, else Qwen2.
        shifted: a row of logits speaks of the *next* position, as in autoregressive models, and not of its own.
        causal: attention was causal in training.
        prefill: how block diffusion reads the prompt (`BlockDiffusionConfig.prefill`).
        mask_id: of the published checkpoints, for tokenizers that do not name it.
        turn_ends: tokens that end a text besides those that the model's files name.
        fields: names in config.json, by the names that transformers gives them; empty: the same ones.
        fixed: values in config.json without which the parameters do not fit.
        names: parameter names, as regular expressions, and what they are in transformers.
        tokenizer: class of the tokenizer, where its files name one of the repository's own code.
    """

    name: str
    model_types: tuple[str, ...]
    shape: str
    shifted: bool = False
    causal: bool = False
    prefill: str = "whole"
    mask_id: int | None = None
    turn_ends: tuple[str, ...] = ("<|im_end|>",)
    fields: Mapping[str, str] | None = None
    fixed: Mapping[str, Any] | None = None
    names: Mapping[str, str] | None = None
    tokenizer: str | None = None


_LLADA_FIELDS = {
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "intermediate_size": "mlp_hidden_size",
    "max_position_embeddings": "max_sequence_length",
    "vocab_size": "embedding_size",
    "tie_word_embeddings": "weight_tying",
    **{name: name for name in ("rms_norm_eps", "rope_theta", "eos_token_id", "bos_token_id", "pad_token_id")},
    **{name: name for name in ("mask_token_id", "dtype", "torch_dtype")},
}
_LLADA_FIXED = dict.fromkeys(
    ("alibi", "include_bias", "include_qkv_bias", "attention_layer_norm", "input_emb_norm", "scale_logits"), False
) | {"block_type": "llama", "layer_norm_type": "rms", "activation_type": "silu", "rope": True, "num_experts": None}
_LLADA_NAMES = {
    r"^model\.transformer\.wte\.": "model.embed_tokens.",
    r"^model\.transformer\.ln_f\.": "model.norm.",
    r"^model\.transformer\.ff_out\.": "lm_head.",
    # transformers allows one group a pattern
    r"^model\.transformer\.blocks\.(\d+)\.q_proj\.": r"model.layers.\1.self_attn.q_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.k_proj\.": r"model.layers.\1.self_attn.k_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.v_proj\.": r"model.layers.\1.self_attn.v_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.attn_out\.": r"model.layers.\1.self_attn.o_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.ff_proj\.": r"model.layers.\1.mlp.gate_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.up_proj\.": r"model.layers.\1.mlp.up_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.ff_out\.": r"model.layers.\1.mlp.down_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.attn_norm\.": r"model.layers.\1.input_layernorm.",
    r"^model\.transformer\.blocks\.(\d+)\.ff_norm\.": r"model.layers.\1.post_attention_layernorm.",
}
FAMILIES = (
    # 151665 is not in the tokenizer of WeDLM; in Qwen3's it is <tool_response>.
    Family("WeDLM", ("wedlm",), "qwen", causal=True, mask_id=151665),
    Family(
        "LLaDA",
        ("llada",),
        "llama",
        mask_id=126336,
        turn_ends=("<|eot_id|>",),
        fields=_LLADA_FIELDS,
        fixed=_LLADA_FIXED,
        names=_LLADA_NAMES,
    ),
    Family("Dream", ("Dream", "dream"), "qwen2", shifted=True, mask_id=151666, tokenizer="Qwen2Tokenizer"),
    # dLLM's "AR to diffusion" models, of which dllm-hub/Qwen3-0.6B-diffusion-{mdlm,bd3lm}-v0.1 are two.
    Family("dLLM Qwen3", ("a2d-qwen3", "tiny-a2d-qwen3"), "qwen3", prefill="blocks"),
    Family("dLLM Qwen2", ("a2d-qwen2", "tiny-a2d-qwen2"), "qwen2", prefill="blocks"),
    Family("dLLM Llama", ("a2d-llama", "tiny-a2d-llama"), "llama", prefill="blocks"),
)


def family_of(config: Mapping[str, Any]) -> Family | None:
    """Return the family of a model with this config.json; None for all that transformers knows itself."""
    kind = config.get("model_type")
    return next((family for family in FAMILIES if kind in family.model_types), None)
