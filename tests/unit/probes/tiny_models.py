"""Small random models of several architectures, for probes."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from lmx_models.zoo.catalogue import TINY

SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(TINY / "tiny-base")


def build(kind: str, vocabulary: int) -> Any:
    """Build ``tied``, ``untied``, ``softcap`` (Gemma 2) or ``scaled`` (Granite), with eager float32 weights."""
    torch.manual_seed(7)
    common = {**SIZE, "vocab_size": vocabulary, "max_position_embeddings": 512, "initializer_range": 0.3}
    if kind == "softcap":
        config = Gemma2Config(
            **common, head_dim=8, final_logit_softcapping=2.0, attn_logit_softcapping=5.0, sliding_window=8
        )
        return Gemma2ForCausalLM(config).eval()
    if kind == "scaled":
        return GraniteForCausalLM(GraniteConfig(**common, logits_scaling=4.0, tie_word_embeddings=True)).eval()
    return LlamaForCausalLM(LlamaConfig(**common, tie_word_embeddings=kind == "tied")).eval()
