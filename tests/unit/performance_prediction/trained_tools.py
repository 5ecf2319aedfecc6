"""Small models of the right shapes, with a tokenizer of words, and made tasks whose scores hang on a word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

Floats = NDArray[np.float64]
TOPICS = ("dates", "names", "sums", "rhymes", "verbs", "towns")
FILLER = ("give", "the", "text", "find", "what", "it", "says", "about", "a", "word", "and", "write", "one", "answer")


@dataclass(frozen=True)
class Tasks:
    """Definitions only, as the predictors here look at nothing else."""

    definitions: tuple[str, ...]


def tasks(count: int, seed: int, signal: float) -> tuple[Tasks, Floats]:
    """Return tasks and standardised scores of which a share `signal` of the variance hangs on the topic."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, len(TOPICS), count)
    effect = np.linspace(-1, 1, len(TOPICS))[topics] / np.linspace(-1, 1, len(TOPICS)).std()
    scores = np.sqrt(signal) * effect + np.sqrt(1 - signal) * rng.normal(size=count)
    texts = tuple(" ".join([*rng.choice(FILLER, 8), TOPICS[topic], *rng.choice(FILLER, 4)]) for topic in topics)
    return Tasks(texts), scores


def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted({*TOPICS, *FILLER})]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def roberta(folder: Path) -> Path:
    """Write a RoBERTa-shaped encoder with random weights."""
    torch.manual_seed(0)
    words = tokenizer()
    config = RobertaConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    RobertaForMaskedLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def llama(folder: Path) -> Path:
    """Write a LLaMA-shaped decoder with random weights."""
    torch.manual_seed(0)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=64, pad_token_id=None, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
