"""Attention of a flat batch through flash-attention's kernel for sequences of different lengths (Dao 2023).

The flat batch is what that kernel wants: it needs no padding of queries and no mask. Keys and values are gathered from
the slots of each row into one sequence, in every layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.engine.slot_cache import Plan, Span

CHOICES = ("auto", "sdpa", "flash")


def choose(attn: str, device: torch.device, dtype: torch.dtype) -> str:
    """Return ``flash`` or ``sdpa`` for a choice among `CHOICES`; ``auto`` is flash where it can be used.

    Raises:
        UserError: flash was asked for and cannot be used, or there is no such choice.
    """
    if attn not in CHOICES:
        raise unknown("attn", attn, CHOICES)
    if attn == "sdpa":
        return attn
    lack = _lack(device, dtype)
    if lack is None:
        return "flash"
    if attn == "flash":
        raise UserError(f"attn=flash {lack}, or take attn=sdpa")
    return "sdpa"


def rows_varlen(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    plan: Plan,
    out: torch.Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> None:
    """One call for all causal spans of a forward, and one for all full ones; see `slot_attention.Attend`."""
    for full in (False, True):
        spans = [span for span in plan.spans if span.full is full]
        if not spans:
            continue
        tokens, rows, slots, ends_q, ends_k = _packing(plan, spans, query.device)
        left = -1 if window is None else window - 1
        out[tokens] = _kernel()(
            query[:, tokens].transpose(0, 1).contiguous(),
            keys[rows, :, slots],
            values[rows, :, slots],
            ends_q,
            ends_k,
            max(span.n for span in spans),
            max(span.at + span.n for span in spans),
            softmax_scale=scaling,
            # Aligned at the bottom right: the last of a row's tokens sees all of the row's slots.
            causal=not full,
            window_size=(left, -1 if full or window is None else 0),
            softcap=softcap or 0.0,
        )


def _packing(plan: Plan, spans: Sequence[Span], device: torch.device) -> list[torch.Tensor]:
    """Return the spans' tokens in the flat batch, the row and slot of each key, and where each span ends in both.

    Made once per forward and shared by the layers. The ends are int32 and begin with 0, as the kernel wants them.
    """
    names = [("varlen", spans[0].full, i) for i in range(5)]
    if names[0] not in plan.masks:
        lengths = [span.at + span.n for span in spans]

        def tensor(numbers: Iterable[int], dtype: torch.dtype = torch.long) -> torch.Tensor:
            return torch.tensor(list(numbers), dtype=dtype, device=device)

        packing = (
            tensor(token for span in spans for token in range(span.begin, span.begin + span.n)),
            tensor(span.row for span, length in zip(spans, lengths, strict=True) for _ in range(length)),
            tensor(slot for length in lengths for slot in range(length)),
            tensor(itertools.accumulate((span.n for span in spans), initial=0), torch.int32),
            tensor(itertools.accumulate(lengths, initial=0), torch.int32),
        )
        plan.masks.update(zip(names, packing, strict=True))
    return [plan.masks[name] for name in names]


def _lack(device: torch.device, dtype: torch.dtype) -> str | None:
    if device.type != "cuda":
        return f"needs a CUDA device, and the model is on {device.type}: set device=cuda"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"needs 16-bit weights, and these are {dtype}: set dtype=bfloat16"
    try:
        _kernel()
    except ImportError as error:
        return f"needs the package flash-attn ({error}): pip install 'lmx-eval[flash]'"
    return None


def _kernel() -> Callable[..., Any]:
    from flash_attn import flash_attn_varlen_func

    return flash_attn_varlen_func
