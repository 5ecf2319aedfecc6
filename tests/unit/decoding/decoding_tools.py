"""Tools for testing decoders: small random networks, and texts of single characters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from lmx_models.core.stopping import Stopping

VOCABULARY = 50
EOS = 0

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "head_dim": 8,
    "eos_token_id": EOS,
    "bos_token_id": None,
    "pad_token_id": 1,
}
ARCHITECTURES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_SMALL),
    "qwen2": Qwen2Config(**_SMALL),
    "qwen3": Qwen3Config(**_SMALL),
    "gemma2": Gemma2Config(**_SMALL, sliding_window=5),
    "gemma3": Gemma3TextConfig(
        **_SMALL, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=256),
}


def random_model(architecture: str = "llama", seed: int = 0):
    """Return a small random network whose next-token distributions are far from flat."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[architecture], dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6)
    return model


def text_of(tokens: Sequence[int]) -> str:
    """Decode ids to single characters; the end-of-text id is special and left out."""
    return "".join(chr(ord("A") + token) for token in tokens if token != EOS)


def stopping(max_tokens: int = 40, strings: tuple[str, ...] = ()) -> Stopping:
    """Return the usual stop conditions over `text_of`."""
    return Stopping(max_tokens, frozenset({EOS}), strings, text_of)
