"""Held-out scores of a tiny model: greedy answers to the shipped prompts, judged by the real metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lmx_metrics import counting as counting_metric
from lmx_metrics import structure
from lmx_tasks.category_counting import generate as counting
from lmx_tasks.constraint_tiny import generate as sections
from lmx_tasks.constraint_tiny.utils import on_topic
from training.tiny.data import HELD_OUT_COUNTING, HELD_OUT_SECTIONS
from training.tiny.reference import reference_bd3lm, reference_mdlm, reference_wedlm

MAX_COUNTING_TOKENS = 8
MAX_SECTIONS_TOKENS = 192

DECODING: dict[str, dict[str, Any]] = {
    "ar": {},
    "wedlm": {"window": 8, "tau": 0.4, "lambda": 0.02},
    "mdlm": {"block_length": 8, "threshold": 0.95},
    "bd3lm": {"block_length": 8, "threshold": 0.9},
}
"""How each kind of model is decoded here, greedily."""

CAREFUL: dict[str, dict[str, Any]] = {
    "wedlm": {"lambda": 0.1},
    "mdlm": {"threshold": 1.0},  # never passed: a token a forward
    "bd3lm": {"threshold": 1.0},
}
"""Changes to those settings for quality before speed; `lambda` is that of the paper's quality tables."""


@dataclass(frozen=True)
class Answers:
    """Texts, and what they took: tokens up to the first end of text (included), and forwards, over all texts."""

    texts: list[str]
    tokens: int
    forwards: int


def decoding_settings(model: PreTrainedModel, careful: bool = False) -> dict[str, Any]:
    """Return the method a model is decoded with here, as `method`, and its settings."""
    method = getattr(model.config, "lmx_decoding", "ar")
    return {"method": method, **DECODING[method], **(CAREFUL.get(method, {}) if careful else {})}


def diffuse(
    model: PreTrainedModel, prompt_ids: list[int], max_tokens: int, how: dict[str, Any]
) -> tuple[list[int], int]:
    """Return a diffusion model's greedy response and the forwards it took, by the reference decoder of its kind.

    `how` are settings as `decoding_settings` returns them.
    """
    mask, eos = model.config.mask_token_id, {model.config.eos_token_id}
    if how["method"] == "wedlm":
        window, tau, lam = how["window"], how["tau"], how["lambda"]
        return reference_wedlm(model, prompt_ids, max_tokens, mask, eos, window, tau, lam)
    block, threshold = how["block_length"], how["threshold"]
    if how["method"] == "mdlm":
        return reference_mdlm(model, prompt_ids, max_tokens, max_tokens, block, mask, eos, threshold)
    return reference_bd3lm(model, prompt_ids, max_tokens, block, block, mask, eos, threshold)


def chat_prompts(tokenizer: PreTrainedTokenizerFast, prompts: list[str]) -> list[str]:
    """Return each prompt as a user's turn in the chat format, up to where the answer begins."""
    turns = ([{"role": "user", "content": prompt}] for prompt in prompts)
    return [str(tokenizer.apply_chat_template(t, tokenize=False, add_generation_prompt=True)) for t in turns]


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    max_new_tokens: int,
    chat: bool = True,
    careful: bool = False,
    rows: int = 50,
) -> Answers:
    """Return the greedy answer to each prompt; raw text is the prompt when not `chat`.

    An autoregressive model answers `rows` prompts at a time, a diffusion model one.
    """
    texts = chat_prompts(tokenizer, prompts) if chat else prompts
    found: list[list[int]] = []
    forwards = 0
    how = decoding_settings(model, careful)
    if how["method"] != "ar":
        for text in texts:
            ids, cost = diffuse(model, tokenizer(text).input_ids, max_new_tokens, how)
            found.append(ids)
            forwards += cost
    else:
        for at in range(0, len(texts), rows):
            inputs = tokenizer(texts[at : at + rows], return_tensors="pt", padding=True, padding_side="left")
            with torch.inference_mode():
                new = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
            found.extend(new[:, inputs.input_ids.shape[1] :].tolist())
    eos = tokenizer.eos_token_id
    found = [ids[: ids.index(eos) + 1] if eos in ids else ids for ids in found]
    tokens = sum(len(ids) for ids in found)
    return Answers(tokenizer.batch_decode(found, skip_special_tokens=True), tokens, forwards or tokens)


def mean(values: list[float]) -> float:
    """Return the mean, rounded to four places; 0.0 of nothing."""
    return round(sum(values) / len(values), 4) if values else 0.0


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    n_counting: int = HELD_OUT_COUNTING[0],
    n_sections: int = HELD_OUT_SECTIONS[0],
    chat: bool = True,
    careful: bool = False,
) -> dict[str, Any]:
    """Return scores (shares, 0 to 1; `abs_error` in words) on the first prompts of both tasks.

    Beside them stand the tokens kept per forward: 1 for an autoregressive model. `careful` decodes with `CAREFUL`.
    """
    items = counting.generate(*HELD_OUT_COUNTING)[:n_counting]
    counted = answers(model, tokenizer, [i.prompt for i in items], MAX_COUNTING_TOKENS, chat, careful)
    counts = [counting_metric.score(t, i.count, i.length) for t, i in zip(counted.texts, items, strict=True)]
    topics = sections.generate(*HELD_OUT_SECTIONS)[:n_sections]
    planned = answers(model, tokenizer, [i.prompt for i in topics], MAX_SECTIONS_TOKENS, chat, careful)
    layout = [structure.score(t)["all_strict"] for t in planned.texts]
    topical = [on_topic(vars(i), t) for t, i in zip(planned.texts, topics, strict=True)]
    return {
        "category_counting": {
            "n": len(items),
            "accuracy": mean([float(c["accuracy"] or 0) for c in counts]),
            "parse_rate": mean([float(c["parse_rate"] or 0) for c in counts]),
            "abs_error_all": mean([float(c["abs_error_all"] or 0) for c in counts]),
            "tokens_per_forward": round(counted.tokens / max(1, counted.forwards), 2),
        },
        "constraint_tiny": {
            "n": len(topics),
            "all_strict": mean(layout),
            "on_topic": mean(topical),
            "solved": mean([a * (b == 1.0) for a, b in zip(layout, topical, strict=True)]),
            "tokens_per_forward": round(planned.tokens / max(1, planned.forwards), 2),
        },
    }
