"""What these tests share."""

from __future__ import annotations

import torch

from training.tiny import views
from training.tiny.batches import Batch

EOS, PAD, MASK, VOCABULARY = 0, 1, 2, 40


def make_batch(seed: int = 0) -> Batch:
    """Return three rows with prompts of 5, 3 and 1 tokens and answers of 9, 4 and 11 (end of text included)."""
    draw = torch.Generator().manual_seed(seed)
    prompts, answers = (5, 3, 1), (9, 4, 11)
    ids = torch.full((3, 14), PAD)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[row, : prompt + answer] = torch.randint(3, VOCABULARY, (prompt + answer,), generator=draw)
        ids[row, prompt + answer - 1] = EOS
    starts = torch.tensor(prompts)
    return Batch(ids, starts, starts + torch.tensor(answers))


def view_of(kind: str, batch: Batch, seed: int = 0) -> views.View:
    torch.manual_seed(seed)
    if kind == "mdlm":
        return views.mdlm_view(batch, 12, MASK, EOS)
    if kind == "bd3lm":
        return views.bd3lm_view(batch, 11, 4, MASK, EOS)  # a last block of 3
    return views.wedlm_view(batch, 4, MASK, EOS)


def memory_of(kind: str, view: views.View, prompts: int) -> int:
    """Return the width of the clean stream: the response's, for bd3lm without its last block of 3."""
    slots = view.ids.shape[1] - prompts
    return slots // 2 if kind == "wedlm" else (slots - 3) // 2


def hidden(model, view):
    with torch.no_grad():
        return model.model(
            input_ids=view.ids, position_ids=view.positions, attention_mask=view.allowed, use_cache=False
        ).last_hidden_state


def picture(allowed: torch.Tensor) -> list[str]:
    return ["".join("x" if seen else "." for seen in row) for row in allowed.tolist()]
