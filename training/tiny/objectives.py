"""Objectives of the tiny family: a model and a batch to a loss in nats per answer token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from training.tiny.batches import Batch
from training.tiny.spec import Spec
from training.tiny.views import View, bd3lm_view, mdlm_view, wedlm_view

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
    loss = cross_entropy(model.lm_head(hidden[answer]).float(), targets[answer])
    if spec.prompt_weight:
        prompt = inside & ~answer & (torch.rand(inside.shape) < spec.prompt_weight)
        if prompt.any():
            extra = cross_entropy(model.lm_head(hidden[prompt]).float(), targets[prompt])
            loss = loss + spec.prompt_weight * extra
    return loss


def hidden_states(model: PreTrainedModel, view: View) -> Tensor:
    """Return the last hidden states `[rows, slots, hidden]` of one forward over a view."""
    out = model.model(
        input_ids=view.ids, position_ids=view.positions, attention_mask=view.allowed, use_cache=False
    )  # fmt: skip
    hidden: Tensor = out.last_hidden_state
    return hidden


def view_losses(model: PreTrainedModel, view: View) -> tuple[Tensor, Tensor]:
    """Return the mask loss and the next-token loss of a view, in nats per answer token.

    The mask loss adds up the padding's share too, but divides by the answers' tokens alone: otherwise a short answer on
    a long canvas would drown in end-of-text tokens.
    """
    hidden = hidden_states(model, view)
    losses = []
    for weights, scale in ((view.mask_weights, view.scale), (view.ar_weights, view.ar_weights.sum())):
        at = weights > 0
        each = cross_entropy(model.lm_head(hidden[at]).float(), view.targets[at], reduction="none")
        losses.append((each * weights[at]).sum() / scale.clamp(min=1))
    return losses[0], losses[1]


def wedlm_loss(model: PreTrainedModel, batch: Batch, spec: Spec) -> Tensor:
    """Return the loss at masks, which predict their own position, plus the next-token loss of the clean stream."""
    view = wedlm_view(batch, spec.block_length, model.config.mask_token_id, model.config.eos_token_id)
    mask, ar = view_losses(model, view)
    return mask + ar


def mdlm_loss(model: PreTrainedModel, batch: Batch, spec: Spec) -> Tensor:
    """Return the mask loss on canvases of random width, up to about twice the longest answer.

    With a `block_length` the loss of block diffusion is added: it teaches all blocks where a canvas teaches one, and
    keeps what a model that goes on from block diffusion knows while it learns to look behind its block.
    """
    longest = int((batch.lengths - batch.prompt_lengths).max())
    most = max(longest, min(2 * longest + 24, spec.canvas))
    width = int(torch.randint(longest, most + 1, ()))
    config = model.config
    view = mdlm_view(batch, width, config.mask_token_id, config.eos_token_id, spec.block_length)
    loss = view_losses(model, view)[0]
    return loss + bd3lm_loss(model, batch, spec) if spec.block_length else loss


def bd3lm_loss(model: PreTrainedModel, batch: Batch, spec: Spec) -> Tensor:
    """Return the mask loss of every block given the clean blocks before it; the last block ends anywhere."""
    longest = int((batch.lengths - batch.prompt_lengths).max())
    most = -(-longest // spec.block_length) * spec.block_length
    width = int(torch.randint(longest, most + 1, ()))
    config = model.config
    return view_losses(model, bd3lm_view(batch, width, spec.block_length, config.mask_token_id, config.eos_token_id))[0]


OBJECTIVES: dict[str, Objective] = {"ar": ar_loss, "wedlm": wedlm_loss, "mdlm": mdlm_loss, "bd3lm": bd3lm_loss}
