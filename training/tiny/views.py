"""What a diffusion objective shows a model: slots, positions, who sees whom, and what each slot must say.

Every objective here lays a batch out in up to three groups of slots: the prompt, the clean response and
the noised response (some tokens replaced by the mask). Slots carry explicit positions, so they can stand in
any order and rows of different lengths need no shifting; attention is one explicit boolean mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.tiny.batches import Batch


@dataclass(frozen=True)
class View:
    """The input of one forward, and its targets.

    Attributes:
        ids: token ids `[rows, slots]`.
        positions: logical positions of the slots in the text `[rows, slots]`.
        allowed: True where a query slot sees a key slot `[rows, 1, queries, keys]`.
        targets: the token each slot must predict `[rows, slots]`.
        mask_weights: weight of each slot's loss as a mask, 0 where it is none `[rows, slots]`.
        ar_weights: weight of each slot's loss as a next-token prediction `[rows, slots]`.
        scale: what the summed mask loss is divided by: the number of answer tokens, padding left out `[]`.
    """

    ids: Tensor
    positions: Tensor
    allowed: Tensor
    targets: Tensor
    mask_weights: Tensor
    ar_weights: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Layout:
    """A batch cut in prompt and response; the response runs on with end-of-text tokens.

    Attributes:
        prompt, prompt_valid: ids `[rows, prompt slots]`, and which slots are no padding.
        response: ids `[rows, width]`.
        answer: True for the answer's own tokens, its end-of-text included `[rows, width]`.
        start: position of each row's first response token `[rows, 1]`.
    """

    prompt: Tensor
    prompt_valid: Tensor
    response: Tensor
    answer: Tensor
    start: Tensor


def lay_out(batch: Batch, width: int, eos: int) -> Layout:
    """Cut a batch after its prompts and extend every answer to `width` tokens with `eos`."""
    start = batch.prompt_lengths[:, None]
    place = torch.arange(int(batch.prompt_lengths.max()))
    at = start + torch.arange(width)
    answer = at < batch.lengths[:, None]
    tokens = batch.ids.gather(1, at.clamp(max=batch.ids.shape[1] - 1))
    response = torch.where(answer, tokens, eos)
    return Layout(batch.ids[:, : len(place)], place < start, response, answer, start)


def draw_masks(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Choose the masked tokens of each group; return them and their loss weights, both `[rows, width]`.

    `groups` `[rows, width]` numbers the group of every token. Of a group's `n` tokens, `m` are masked, with `m`
    uniform in 1 to `n`, and weigh `n / m`. In expectation this is the objective with a rate `t` uniform in (0, 1],
    independent masks and weight `1 / t` (arXiv 2502.09992, equations 3 and 6), at less variance and without
    groups that teach nothing. Like MDLM's sampler (arXiv 2406.07524), the rows' rates are spread evenly.
    """
    rows, width = groups.shape
    same = groups[:, :, None] == groups[:, None, :]
    draw = torch.rand(rows, width)
    rank = (same & (draw[:, None, :] < draw[:, :, None])).sum(-1)
    size = same.sum(-1)
    offsets = torch.rand(1, int(groups.max()) + 1)
    spread = torch.stack([torch.randperm(rows) for _ in range(offsets.shape[1])], dim=1) / rows
    rate = ((offsets + spread) % 1).gather(1, groups)
    count = (rate * size).long().clamp(max=size - 1) + 1
    masked = rank < count
    return masked, torch.where(masked, size / count, 0.0)


def _assemble(layout: Layout, noised: Tensor, places: Tensor, allowed: Tensor, weights: Tensor) -> View:
    """Return the view of a prompt before response slots that hold `noised` at `places` `[rows, response slots]`.

    `allowed` `[rows or 1, slots, slots]` leaves padding out of account, `weights` is the response's mask weights.
    """
    rows, prompts = layout.prompt.shape
    valid = torch.cat([layout.prompt_valid, torch.ones_like(noised, dtype=torch.bool)], dim=1)
    # A padding slot sees itself: a query with no key at all would give NaN.
    allowed = (allowed & valid[:, None, :]) | torch.eye(allowed.shape[-1], dtype=torch.bool)
    truth = layout.response.gather(1, places)
    mask_weights = torch.cat([torch.zeros(rows, prompts), weights], dim=1)
    return View(
        ids=torch.cat([layout.prompt, noised], dim=1),
        positions=torch.cat([torch.arange(prompts).expand(rows, -1), layout.start + places], dim=1),
        allowed=allowed[:, None],
        targets=torch.cat([layout.prompt, truth], dim=1),
        mask_weights=mask_weights,
        ar_weights=torch.zeros_like(mask_weights),
        scale=layout.answer.sum(),
    )


def _dual_stream(
    layout: Layout, memory: int, noised: Tensor, places: Tensor, blocks: Tensor, weights: Tensor, within: Tensor
) -> View:
    """Prompt and clean response beside a noised one whose blocks see the clean blocks before their own.

    The clean stream is the first `memory` tokens of the response. Noised slots hold `noised` at `places`, with mask
    `weights`, all `[rows, width]`; both streams have the same `blocks`, and the prompt is a clean block before them.
    `within` `[slots or 1, slots or 1]` says what a slot sees inside its own block and stream.
    """
    rows, prompts = layout.prompt.shape
    clean = torch.arange(prompts + memory + noised.shape[1]) < prompts + memory
    block = torch.cat([torch.full((rows, prompts), -1), blocks[:, :memory], blocks], dim=1)
    earlier = block[:, None, :] < block[:, :, None]
    own = (block[:, None, :] == block[:, :, None]) & (clean[None, :] == clean[:, None])
    return _assemble(
        layout,
        noised=torch.cat([layout.response[:, :memory], noised], dim=1),
        places=torch.cat([torch.arange(memory).expand(rows, -1), places], dim=1),
        allowed=(earlier & clean) | (own & within),
        weights=torch.cat([torch.zeros(rows, memory), weights], dim=1),
    )


def _with_next_tokens(view: View, layout: Layout) -> View:
    """Return the view with the next-token targets of the clean stream, the answer's first token included."""
    prompts, width = layout.prompt.shape[1], layout.response.shape[1]
    targets, weights = view.targets.clone(), view.ar_weights.clone()
    targets.scatter_(1, layout.start - 1, layout.response[:, :1])
    weights.scatter_(1, layout.start - 1, 1.0)
    targets[:, prompts : prompts + width - 1] = layout.response[:, 1:]
    weights[:, prompts : prompts + width - 1] = layout.answer[:, 1:].float()
    return replace(view, targets=targets, ar_weights=weights)


def draw_block(layout: Layout, block_length: int) -> tuple[Tensor, Tensor]:
    """Mask one block of each answer in part and all behind it whole; return masks and weights `[rows, width]`.

    These are the states of a sampler that fills block after block, and the loss of Blockwise SFT (Sun et al. 2025,
    arXiv 2508.19529): only the drawn block has one, and it stands for all blocks up to the end-of-text token's.
    """
    blocks = (torch.arange(layout.response.shape[1]) // block_length).expand_as(layout.response)
    decoded = (layout.answer.sum(1, keepdim=True) - 1) // block_length + 1
    drawn = (torch.rand(len(blocks), 1) * decoded).long()
    masked, weights = draw_masks(blocks)
    masked = torch.where(blocks == drawn, masked, blocks > drawn)
    return masked, torch.where(blocks == drawn, weights * decoded, 0.0)


def mdlm_view(batch: Batch, width: int, mask_id: int, eos: int, block_length: int = 0) -> View:
    """One noised response of `width` tokens after its prompt; everything sees everything (arXiv 2406.07524).

    With a `block_length` only every fourth row is masked anywhere; the others are as `draw_block` has them.
    """
    layout = lay_out(batch, width, eos)
    masked, weights = draw_masks(torch.zeros_like(layout.response))
    if block_length:
        anywhere = torch.arange(len(masked))[:, None] % 4 == 0
        in_block, block_weights = draw_block(layout, block_length)
        masked, weights = torch.where(anywhere, masked, in_block), torch.where(anywhere, weights, block_weights)
    places = torch.arange(width).expand(len(masked), -1)
    everything = torch.ones(1, *2 * [layout.prompt.shape[1] + width], dtype=torch.bool)
    return _assemble(layout, torch.where(masked, mask_id, layout.response), places, everything, weights)


def bd3lm_view(batch: Batch, width: int, block_length: int, mask_id: int, eos: int) -> View:
    """Blocks counted from the end of the prompt, bidirectional inside, causal over blocks (arXiv 2503.09573).

    The prompt is one bidirectional block of its own. The response has `width` tokens, and its last block may be short.
    """
    layout = lay_out(batch, width, eos)
    places = torch.arange(width).expand_as(layout.response)
    blocks = places // block_length
    masked, weights = draw_masks(blocks)
    # A block after the one that holds the end-of-text token is never decoded.
    weights = weights * (blocks <= (layout.answer.sum(1, keepdim=True) - 1) // block_length)
    noised = torch.where(masked, mask_id, layout.response)
    # Nothing sees the last clean block: it is left out.
    memory = (width - 1) // block_length * block_length
    everything = torch.ones(1, 1, dtype=torch.bool)
    return _dual_stream(layout, memory, noised, places, blocks, weights, within=everything)


def wedlm_view(batch: Batch, block_length: int, mask_id: int, eos: int) -> View:
    """Clean memory beside blocks with observed tokens first, then masks, all causal (arXiv 2512.22737).

    Blocks begin at a random offset in each row, since a decoder's window may begin anywhere. A block may reach
    beyond the answer's end, as a window does; there it holds end-of-text tokens.
    """
    longest = int((batch.lengths - batch.prompt_lengths).max())
    layout = lay_out(batch, longest + block_length - 1, eos)
    rows, width = layout.response.shape
    shift = torch.randint(block_length, (rows, 1))
    blocks = (torch.arange(width) + shift) // block_length
    masked, weights = draw_masks(blocks)
    weights = weights * (blocks <= (layout.answer.sum(1, keepdim=True) - 1 + shift) // block_length)
    # Stable, and within blocks only: `blocks` holds for the slots as for the places.
    order = torch.argsort(2 * blocks + masked.long(), dim=1, stable=True)
    noised = torch.where(masked, mask_id, layout.response).gather(1, order)
    causal = torch.ones(*2 * [layout.prompt.shape[1] + 2 * width], dtype=torch.bool).tril()
    view = _dual_stream(layout, width, noised, order, blocks, weights.gather(1, order), within=causal)
    return _with_next_tokens(view, layout)
