"""Tools for testing decoders: a driver without any engine, models of a few lines, small random networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

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

from lmx_models.core.base import Decoding, Generation
from lmx_models.core.stopping import Stopping

LogitsOf = Callable[[Sequence[int]], torch.Tensor]
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


def hashed(salt: str, eos_bias: float = -2.0) -> LogitsOf:
    """Return a 'model' whose logits are a fixed pseudo-random function of everything it has seen."""

    def logits(history: Sequence[int]) -> torch.Tensor:
        digest = hashlib.sha256((salt + repr(list(history))).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        out = torch.randn(VOCABULARY, generator=generator) * 2
        out[EOS] += eos_bias
        return out

    return logits


def drive(decoding: Decoding, models: Mapping[str, LogitsOf]) -> tuple[Generation, dict[str, int]]:
    """Run one decoder against functions of the whole history; return its generation and the tokens fed per model.

    This is what a cache must amount to: each model's history is cut at `at`, extended, and cut again to `keep`.
    """
    history: dict[str, list[int]] = {name: [] for name in models}
    fed = dict.fromkeys(models, 0)
    feed = next(decoding)
    while True:
        past = history[feed.model]
        at = len(past) if feed.at is None else feed.at
        assert at <= len(past), "a decoder went on from tokens that it never fed"
        del past[at:]
        rows = []
        for token in feed.tokens:
            past.append(token)
            rows.append(models[feed.model](past))
        fed[feed.model] += len(feed.tokens)
        if feed.keep is not None:
            del past[at + feed.keep :]
        try:
            feed = decoding.send(torch.stack(rows[len(rows) - feed.logits :]))
        except StopIteration as end:
            return end.value, fed


def text_of(tokens: Sequence[int]) -> str:
    """Decode ids to single characters; the end-of-text id is special and left out."""
    return "".join(chr(ord("A") + token) for token in tokens if token != EOS)


def stopping(max_tokens: int = 40, strings: tuple[str, ...] = ()) -> Stopping:
    """Return the usual stop conditions over `text_of`."""
    return Stopping(max_tokens, frozenset({EOS}), strings, text_of)
