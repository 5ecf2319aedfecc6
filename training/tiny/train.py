"""Training of the tiny family: seeded, on CPU, with transformers' own model classes.

A `Spec` says what a model is and how long it learns; an objective (`OBJECTIVES`) turns a batch into a loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lmx_models.zoo.from_files import model_from
from training.tiny.batches import batches
from training.tiny.objectives import OBJECTIVES
from training.tiny.spec import Spec
from training.tiny.tokenizer import CONTEXT


def build_model(spec: Spec, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return a freshly initialised model of the spec's shape, in float32, with tied embeddings.

    The config of a diffusion model says how to decode it: `lmx_decoding` names the method, `mask_token_id` the mask,
    `block_length` the block it was trained with (0: none).
    """
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
    if spec.objective != "ar":
        common["lmx_decoding"] = spec.objective
        common["mask_token_id"] = tokenizer.mask_token_id
        common["block_length"] = spec.block_length
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


def take_over(model: PreTrainedModel, start: Path) -> None:
    """Give `model` the weights in `start`, of the same shape or of fewer layers.

    A layer more begins as the identity: its two output projections are zero, so that the grown model first computes
    exactly what the smaller one did.
    """
    known = model_from(start, type(model), dtype=torch.float32)
    model.load_state_dict(known.state_dict(), strict=False)
    for layer in model.model.layers[known.config.num_hidden_layers :]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)


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
    start: Path | None = None,
) -> tuple[PreTrainedModel, dict[str, float], float]:
    """Train one member; return it, its smoothed final loss of each kind (nats per token), and seconds.

    `start` is a folder with weights to go on from (see `take_over`); without it they are random.
    """
    torch.manual_seed(seed)
    model = build_model(spec, tokenizer)
    if start is not None:
        take_over(model, start)
    steps = steps or spec.steps
    optimisers = build_optimisers(model, spec)
    objective = OBJECTIVES[spec.objective]
    sources = {kind: batches(kind, rows, tokenizer, seed, spec.usual) for kind, rows in spec.batch.items()}
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
