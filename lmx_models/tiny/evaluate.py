"""Held-out scores of a tiny model: greedy answers to the shipped prompts, judged by the real metrics."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lmx_metrics import counting as counting_metric
from lmx_metrics import structure
from lmx_models.tiny.data import HELD_OUT_COUNTING, HELD_OUT_SECTIONS
from lmx_tasks.category_counting import generate as counting
from lmx_tasks.constraint_tiny import generate as sections
from lmx_tasks.constraint_tiny.utils import on_topic

MAX_COUNTING_TOKENS = 8
MAX_SECTIONS_TOKENS = 192


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    max_new_tokens: int,
    chat: bool = True,
    rows: int = 50,
) -> list[str]:
    """Return the greedy answer to each prompt, `rows` at a time; raw text is the prompt when not `chat`."""
    texts = prompts
    if chat:
        texts = [
            str(tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False,
                                              add_generation_prompt=True))
            for p in prompts
        ]  # fmt: skip
    found: list[str] = []
    for at in range(0, len(texts), rows):
        inputs = tokenizer(texts[at : at + rows], return_tensors="pt", padding=True, padding_side="left")
        with torch.inference_mode():
            ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        new = ids[:, inputs.input_ids.shape[1] :]
        found.extend(tokenizer.batch_decode(new, skip_special_tokens=True))
    return found


def mean(values: list[float]) -> float:
    """Return the mean, rounded to four places; 0.0 of nothing."""
    return round(sum(values) / len(values), 4) if values else 0.0


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    n_counting: int = HELD_OUT_COUNTING[0],
    n_sections: int = HELD_OUT_SECTIONS[0],
    chat: bool = True,
) -> dict[str, Any]:
    """Return scores (shares, 0 to 1; `abs_error` in words) on the first prompts of both tasks."""
    items = counting.generate(*HELD_OUT_COUNTING)[:n_counting]
    texts = answers(model, tokenizer, [i.prompt for i in items], MAX_COUNTING_TOKENS, chat)
    counts = [counting_metric.score(t, i.count, i.length) for t, i in zip(texts, items, strict=True)]
    topics = sections.generate(*HELD_OUT_SECTIONS)[:n_sections]
    texts = answers(model, tokenizer, [i.prompt for i in topics], MAX_SECTIONS_TOKENS, chat)
    layout = [structure.score(t)["all_strict"] for t in texts]
    topical = [on_topic(vars(i), t) for t, i in zip(texts, topics, strict=True)]
    return {
        "category_counting": {
            "n": len(items),
            "accuracy": mean([float(c["accuracy"] or 0) for c in counts]),
            "parse_rate": mean([float(c["parse_rate"] or 0) for c in counts]),
            "abs_error_all": mean([float(c["abs_error_all"] or 0) for c in counts]),
        },
        "constraint_tiny": {
            "n": len(topics),
            "all_strict": mean(layout),
            "on_topic": mean(topical),
            "solved": mean([a * (b == 1.0) for a, b in zip(layout, topical, strict=True)]),
        },
    }
