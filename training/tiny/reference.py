"""Diffusion decoding at its plainest: greedy, one text at a time, everything computed again at every forward.

These define what the real decoders, which keep a cache, must write token for token; they also score the tiny
models. Each returns the response's ids and the number of forwards. The mask id is never chosen; among equals the
lowest id and the leftmost place win.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel


@torch.no_grad()
def logits_of(model: PreTrainedModel, ids: Sequence[int], positions: Sequence[int], allowed: Tensor) -> Tensor:
    """Return logits `[slots, vocabulary]` in float32 of one forward.

    `positions` are the logical ones; `allowed` `[slots, slots]` is True where a query slot sees a key slot.
    """
    out = model(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        attention_mask=allowed[None, None],
        use_cache=False,
    )
    logits: Tensor = out.logits[0].float()
    return logits


def reference_wedlm(
    model: PreTrainedModel,
    prompt_ids: Sequence[int],
    max_tokens: int,
    mask_id: int,
    eos_ids: Collection[int],
    window: int = 16,
    tau: float | None = 0.4,
    lam: float = 0.02,
) -> tuple[list[int], int]:
    """Fill a window of masks behind the text by adjusted entropy (arXiv 2512.22737, streaming parallel decoding).

    A mask at place `i` is filled if its entropy, in nats, plus `lam` times its distance from the first mask is below
    `tau`; if none is (or `tau` is None), the one with the least. Fed are known tokens in ascending order, then masks
    in ascending order, causal in that order, with their places in the text as positions. A token counts as text once
    nothing before it is masked. The text ends with the first end-of-text token (returned with it) or at the limit,
    without another forward; what is filled behind an end-of-text token is dropped, and no mask is put there.
    """
    begin, limit = len(prompt_ids), len(prompt_ids) + max_tokens
    known = dict(enumerate(prompt_ids))
    forwards = 0
    while True:
        ends = [place for place in sorted(known) if place >= begin and known[place] in eos_ids]
        end = min([*ends, limit])
        known = {place: known[place] for place in sorted(known) if place <= end}
        frontier = next(place for place in range(begin, limit + 1) if place not in known)
        if frontier > end or frontier == limit:
            return [known[place] for place in range(begin, frontier)], forwards
        masks = [place for place in range(frontier, min(frontier + window, end)) if place not in known]
        order = [*known, *masks]
        causal = torch.ones(len(order), len(order), dtype=torch.bool).tril()
        logits = logits_of(model, [*known.values(), *[mask_id] * len(masks)], order, causal)[len(known) :]
        forwards += 1
        entropy = torch.special.entr(logits.softmax(-1)).sum(-1)
        adjusted = (entropy + lam * (torch.tensor(masks) - masks[0])).tolist()
        chosen = [row for row, value in enumerate(adjusted) if tau is not None and value < tau]
        logits[:, mask_id] = -torch.inf
        for row in chosen or [adjusted.index(min(adjusted))]:
            known[masks[row]] = int(logits[row].argmax())


def shares(masks: int, steps: int) -> list[int]:
    """Return how many masks each step unmasks: as even as can be, larger shares first, no empty step."""
    steps = max(1, min(steps, masks))
    return [masks // steps + (step < masks % steps) for step in range(steps)]


def least(masked: Sequence[int], steps: int, threshold: float | None) -> Iterator[int]:
    """Yield how many masks the next forward unmasks: by `shares`; with a threshold at least one, while any is left."""
    if threshold is None:
        yield from shares(len(masked), steps)
    while masked:
        yield 1


def unmask(
    logits: Tensor, masked: Sequence[int], count: int, mask_id: int, threshold: float | None = None
) -> dict[int, int]:
    """Choose the `count` most probable of the greedy tokens at the `masked` rows; return row -> token.

    With a threshold more are chosen: all that are more probable than it (arXiv 2505.22618).
    """
    logits = logits[list(masked)]
    logits[:, mask_id] = -torch.inf
    confidence, tokens = logits.softmax(-1).max(-1)
    if threshold is not None:
        count = max(count, int((confidence > threshold).sum()))
    best = confidence.argsort(descending=True, stable=True)[:count].tolist()
    return {masked[i]: int(tokens[i]) for i in best}


def reference_mdlm(
    model: PreTrainedModel,
    prompt_ids: Sequence[int],
    length: int,
    steps: int,
    block: int,
    mask_id: int,
    eos_ids: Collection[int] = (),
    threshold: float | None = None,
) -> tuple[list[int], int]:
    """Unmask a canvas of `length` masks by low-confidence remasking, block after block (arXiv 2502.09992).

    Attention is bidirectional over prompt and canvas. The `steps` are spread evenly over the blocks, at least one each;
    with a threshold (see `unmask`) there are as many as it takes.
    Decoding stops after a block that holds one of `eos_ids`; the canvas is returned up to the end of that block.
    """
    begin = len(prompt_ids)
    ids = [*prompt_ids, *[mask_id] * length]
    everything = torch.ones(len(ids), len(ids), dtype=torch.bool)
    starts = range(begin, begin + length, block)
    forwards = 0
    for start, most in zip(starts, shares(max(steps, len(starts)), len(starts)), strict=True):
        masked = list(range(start, min(start + block, len(ids))))
        for count in least(masked, most, threshold):
            logits = logits_of(model, ids, range(len(ids)), everything)
            forwards += 1
            for place, token in unmask(logits, masked, count, mask_id, threshold).items():
                ids[place] = token
                masked.remove(place)
        if any(token in eos_ids for token in ids[start : start + block]):
            return ids[begin : start + block], forwards
    return ids[begin:], forwards


def block_causal(prompt: int, slots: int, block: int) -> Tensor:
    """Return who sees whom `[slots, slots]`: the prompt itself; a block all before it and itself."""
    number = torch.div(torch.arange(slots) - prompt, block, rounding_mode="floor").clamp(min=-1)
    return number[None, :] <= number[:, None]


def reference_bd3lm(
    model: PreTrainedModel,
    prompt_ids: Sequence[int],
    length: int,
    block: int,
    steps_per_block: int,
    mask_id: int,
    eos_ids: Collection[int] = (),
    threshold: float | None = None,
) -> tuple[list[int], int]:
    """Unmask one block of masks after another, by low-confidence remasking (arXiv 2503.09573).

    With a threshold (see `unmask`) a block takes as many steps as it needs. The prompt is one bidirectional chunk.
    Blocks are counted from its end; each sees everything before it, and itself in both directions. Decoding stops after
    a block that holds one of `eos_ids`.
    """
    begin = len(prompt_ids)
    ids = list(prompt_ids)
    forwards = 0
    for done in range(0, length, block):
        masked = list(range(begin + done, begin + min(done + block, length)))
        ids += [mask_id] * len(masked)
        allowed = block_causal(begin, len(ids), block)
        for count in least(masked, steps_per_block, threshold):
            logits = logits_of(model, ids, range(len(ids)), allowed)
            forwards += 1
            for place, token in unmask(logits, masked, count, mask_id, threshold).items():
                ids[place] = token
                masked.remove(place)
        if any(token in eos_ids for token in ids[begin + done :]):
            break
    return ids[begin:], forwards
