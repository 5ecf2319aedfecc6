"""Batches of training examples as token ids."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from training.tiny.data import STREAMS, USUAL_STREAMS


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids `[rows, tokens]`; prompt and total length of each row, in tokens."""

    ids: Tensor
    prompt_lengths: Tensor
    lengths: Tensor


def batches(
    kind: str, rows: int, tokenizer: PreTrainedTokenizerFast, seed: int, usual: bool = False
) -> Iterator[Batch]:
    """Yield batches of one kind without end; rows of like length come together to save padding.

    `usual` answers leave nothing to chance (`Spec.usual`).
    """
    rng = random.Random(f"{kind}-{seed}")
    stream = (USUAL_STREAMS if usual else STREAMS)[kind](rng)
    chunk = 8
    while True:
        examples = list(islice(stream, rows * chunk))
        prompts = tokenizer([e.prompt for e in examples]).input_ids
        answers = tokenizer([e.answer for e in examples]).input_ids
        pairs = sorted(zip(prompts, answers, strict=True), key=lambda p: len(p[0]) + len(p[1]))
        groups = [pairs[i : i + rows] for i in range(0, len(pairs), rows)]
        rng.shuffle(groups)
        for group in groups:
            lengths = [len(p) + len(a) for p, a in group]
            ids = torch.full((rows, max(lengths)), tokenizer.pad_token_id)
            for row, (prompt, answer) in enumerate(group):
                ids[row, : lengths[row]] = torch.tensor(prompt + answer)
            yield Batch(ids, torch.tensor([len(p) for p, _ in group]), torch.tensor(lengths))
