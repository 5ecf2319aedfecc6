"""Training of the tiny family: seeded, on CPU, with transformers' own model classes.

A `Spec` says what a model is and how long it learns; an objective (`OBJECTIVES`) turns a batch into a
loss. Autoregressive training is one objective among those to come, so a diffusion variant is a new
function in the registry and a new line in `FAMILY`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lmx_models.tiny.data import STREAMS
from lmx_models.tiny.tokenizer import CONTEXT


@dataclass(frozen=True)
class Spec:
    """One member of the family.

    `batch` maps a kind of example to how many of it one optimiser step sees; `lr`
    (embeddings, norms) and `muon_lr` (matrices) are peak learning rates, reached after `warmup` of the
    steps (a share, 0 to 1) and brought down along a cosine.
    """

    name: str
    shape: str
    hidden: int
    layers: int
    heads: int
    steps: int
    batch: dict[str, int]
    lr: float
    muon_lr: float
    warmup: float = 0.05
    prompt_weight: float = 0.05
    objective: str = "ar"


FAMILY: dict[str, Spec] = {
    s.name: s
    for s in (
        Spec(
            "tiny-base", "llama", hidden=64, layers=2, heads=2, steps=650,
            batch={"counting": 32, "naming": 8, "listing": 8, "sections": 4}, lr=3e-3, muon_lr=6e-3,
        ),
        Spec(
            "tiny-oracle", "qwen3", hidden=96, layers=3, heads=3, steps=1500,
            batch={"counting": 48, "naming": 8, "listing": 16, "sections": 8}, lr=3e-3, muon_lr=6e-3,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids `[rows, tokens]`; prompt and total length of each row, in tokens."""

    ids: Tensor
    prompt_lengths: Tensor
    lengths: Tensor


Objective = Callable[[PreTrainedModel, Batch, Spec], Tensor]


def ar_loss(model: PreTrainedModel, batch: Batch, spec: Spec) -> Tensor:
    """Return the mean next-token loss in nats over answers, plus a small share of the prompts' loss.

    Logits are computed only where a loss is taken. Right padding needs no mask under causal attention.
    """
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state[:, :-1]
    targets = batch.ids[:, 1:]
    place = torch.arange(1, batch.ids.shape[1])
    inside = place < batch.lengths[:, None]
    answer = inside & (place >= batch.prompt_lengths[:, None])
    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[answer]).float(), targets[answer])
    if spec.prompt_weight:
        prompt = inside & ~answer & (torch.rand(inside.shape) < spec.prompt_weight)
        if prompt.any():
            extra = torch.nn.functional.cross_entropy(model.lm_head(hidden[prompt]).float(), targets[prompt])
            loss = loss + spec.prompt_weight * extra
    return loss


OBJECTIVES: dict[str, Objective] = {"ar": ar_loss}


def build_model(spec: Spec, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return a freshly initialised model of the spec's shape, in float32, with tied embeddings."""
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": spec.hidden,
        "intermediate_size": 3 * spec.hidden,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.heads,
        "head_dim": spec.hidden // spec.heads,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if spec.shape == "llama":
        model: PreTrainedModel = LlamaForCausalLM(LlamaConfig(**common))
    elif spec.shape == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**common))
    else:
        raise ValueError(f"no model shape {spec.shape!r}: llama, qwen3")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.do_sample = False
    return model


def batches(kind: str, rows: int, tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    """Yield batches of one kind without end; rows of like length come together to save padding."""
    rng = random.Random(f"{kind}-{seed}")
    stream = STREAMS[kind](rng)
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


def schedule(step: int, steps: int, warmup: float) -> float:
    """Return a step's learning rate as a share of its peak: linear warm-up, cosine down to a fiftieth."""
    warm = max(1, int(steps * warmup))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def build_optimisers(model: PreTrainedModel, spec: Spec) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices and AdamW for embeddings and norms.

    Muon's orthogonal steps reach the same losses in about two thirds of the steps that AdamW alone needs.
    """
    named = list(model.named_parameters())
    matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in named if p.ndim < 2 or "embed" in n]
    muon = [{"params": matrices, "peak": spec.muon_lr}]
    adam = [{"params": others, "peak": spec.lr}]
    return [
        torch.optim.Muon(muon, lr=spec.muon_lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(adam, lr=spec.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def train(
    spec: Spec,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    steps: int | None = None,
    report: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> tuple[PreTrainedModel, dict[str, float], float]:
    """Train one member; return it, its smoothed final loss of each kind (nats per token), and seconds."""
    steps = steps or spec.steps
    torch.manual_seed(seed)
    model = build_model(spec, tokenizer)
    optimisers = build_optimisers(model, spec)
    objective = OBJECTIVES[spec.objective]
    sources = {kind: batches(kind, rows, tokenizer, seed) for kind, rows in spec.batch.items()}
    smooth: dict[str, float] = {}
    started = time.perf_counter()
    model.train()
    for step in range(steps):
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * schedule(step, steps, spec.warmup)
        for kind, source in sources.items():
            loss = objective(model, next(source), spec)
            loss.backward()  # type: ignore[no-untyped-call]
            smooth[kind] = 0.98 * smooth.get(kind, loss.item()) + 0.02 * loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        report(step + 1, smooth)
    return model.eval(), smooth, time.perf_counter() - started
