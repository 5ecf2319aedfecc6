"""Small random models of each shape, shared by the tests of patching."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers

VOCABULARY = 97
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SHAPES = ("llama", "qwen3", "mistral", "gemma", "gemma2", "gemma3", "gpt2")


@cache
def model(shape: str) -> Any:
    """Return a model with grouped queries (but GPT-2, which has none) and weights large enough to matter."""
    torch.manual_seed(0)
    made: Any
    if shape == "gpt2":
        made = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=VOCABULARY, n_embd=48, n_layer=4, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
            )
        )
    else:
        configs = {
            "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**COMMON)),
            "qwen3": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**COMMON)),
            "mistral": (transformers.MistralForCausalLM, transformers.MistralConfig(**COMMON, sliding_window=5)),
            "gemma": (transformers.GemmaForCausalLM, transformers.GemmaConfig(**COMMON)),
            "gemma2": (transformers.Gemma2ForCausalLM, transformers.Gemma2Config(**COMMON, sliding_window=5)),
            "gemma3": (transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig(**COMMON, sliding_window=5)),
        }
        kind, config = configs[shape]
        made = kind(config)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)
    return made.eval()


def texts(count: int, length: int, seed: int = 0) -> list[list[int]]:
    """Return random texts."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (count, length), generator=generator).tolist()
