"""Attention of a flat batch over the slot cache, registered with transformers as ``lmx_slot``.

All fed tokens of all rows lie in one sequence ``[1, tokens]``, so that linear layers see no padding and a prefill and
many single steps share one forward. Only attention tells the rows apart, and it does so here.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import AttentionInterface

from lmx_models.engine.slot_cache import Groups, Plan, SlotCache, Span

NAME = "lmx_slot"
_active: ContextVar[SlotCache] = ContextVar("lmx_active_slot_cache")
# (query [heads, tokens, dim], keys, values, plan, out [tokens, heads, dim], scaling, window, softcap); writes `out`.
Attend = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, Plan, torch.Tensor, float | None, int | None, float | None], None
]
_attend_by: weakref.WeakKeyDictionary[SlotCache, Attend] = weakref.WeakKeyDictionary()


def attend_by(cache: SlotCache, attend: Attend) -> None:
    """Let forwards over `cache` compute attention with `attend`; by default PyTorch's own kernels do."""
    _attend_by[cache] = attend


def configs_of(model: torch.nn.Module) -> list[Any]:
    """Return the configs that the model's attention layers look at, each once (walking all modules takes a while)."""
    return list({id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values())


@contextmanager
def slots_active(configs: list[Any], cache: SlotCache) -> Iterator[None]:
    """Route the attention of the model with these `configs_of` to `cache`; outside the block it is as it was."""
    token = _active.set(cache)
    try:
        with attention_by(configs, NAME):
            yield
    finally:
        _active.reset(token)


@contextmanager
def attention_by(configs: list[Any], name: str) -> Iterator[None]:
    """Let models with these `configs_of` compute attention by the function that is registered as `name`."""
    before = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = name
        yield
    finally:
        for config, implementation in zip(configs, before, strict=True):
            config._attn_implementation = implementation


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend from each token to its row's slots.

    Args:
        query: ``[1, heads, tokens, dim]``. `key` and `value` are in the cache already and not looked at.
        sliding_window: a token sees this many slots, itself included.

    Returns:
        ``[1, tokens, heads, dim]``, and None for the weights.
    """
    if kwargs.get("s_aux") is not None:
        raise NotImplementedError("attention sinks")  # the self-check turns this into a refusal
    cache = _active.get()
    layer = cache.layers[cache.current]
    keys, values, plan = layer.keys, layer.values, layer.plan
    out = query.new_empty(query.shape[2], query.shape[1], values.shape[3])
    attend = _attend_by.get(cache) or plain_attention
    attend(query[0], keys, values, plan, out, scaling, sliding_window, softcap)
    return out.unsqueeze(0), None


def plain_attention(query: torch.Tensor, *arguments: Any) -> None:
    """Attend with PyTorch's own kernels (an `Attend`)."""
    (_rows_padded if query.is_cuda else _rows_one_by_one)(query, *arguments)


def _rows_one_by_one(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    plan: Plan,
    out: torch.Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> None:
    """One call a row, over exactly the slots in use: on a CPU, reading padding costs more than a call."""
    heads, kv_heads = query.shape[0], keys.shape[1]
    spans = plan.spans
    if window is None and softcap is None:
        runs, pairs, spans = _groups(plan)
        for run in runs:
            _single_tokens(query, keys, values, run, plan, out, scaling)
        for a, b in pairs:
            _two_tokens(query, keys, values, a, b, plan, out, scaling)
    for span in spans:
        end = span.at + span.n
        first = max(0, span.at - window + 1) if window is not None and span.n == 1 else 0
        k = keys[span.row, :, first:end].unsqueeze(0)
        v = values[span.row, :, first:end].unsqueeze(0)
        q = query[:, span.begin : span.begin + span.n]
        if span.at == 0 and span.n > 1 and window is None and softcap is None and not span.full:
            # A whole prompt: the kernel's own causal mask halves the work.
            o = F.scaled_dot_product_attention(q[None], k, v, is_causal=True, scale=scaling, enable_gqa=True)
            out[span.begin : span.begin + span.n] = o[0].transpose(0, 1)
            continue
        # Heads that share keys become further queries of one head, so that no key is copied.
        q = q.reshape(1, kv_heads, heads // kv_heads * span.n, -1)
        mask = None
        if span.n > 1:
            mask = _span_mask(plan, span, window, query.device)
            mask = mask.repeat(heads // kv_heads, 1)
        o = _attend(q, k, v, mask, scaling, softcap)
        out[span.begin : span.begin + span.n] = o.reshape(heads, span.n, -1).transpose(0, 1)


def _single_tokens(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    spans: list[Span],
    plan: Plan,
    out: torch.Tensor,
    scaling: float | None,
) -> None:
    """One token in each of some adjacent rows: three plain operations, without copying a key."""
    rows, end = slice(spans[0].row, spans[-1].row + 1), max(span.at for span in spans) + 1
    name = ("unused", spans[0].row)
    if name not in plan.masks:
        unused = torch.arange(end) > torch.tensor([span.at for span in spans])[:, None]
        plan.masks[name] = torch.zeros(len(spans), 1, 1, end).masked_fill(unused[:, None, None], float("-inf"))
    # Spans lie in the order of their rows, so the tokens of adjacent rows with one token each are adjacent too.
    tokens = slice(spans[0].begin, spans[-1].begin + 1)
    k, v = keys[rows, :, :end], values[rows, :, :end]
    q = query[:, tokens].transpose(0, 1).reshape(len(spans), keys.shape[1], -1, query.shape[2])
    scores = (q @ k.transpose(-1, -2)).float() * (scaling if scaling is not None else query.shape[2] ** -0.5)
    o = torch.softmax(scores.add_(plan.masks[name]), dim=-1).to(v.dtype) @ v
    out[tokens] = o.reshape(len(spans), query.shape[0], -1)


def _two_tokens(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    a: Span,
    b: Span,
    plan: Plan,
    out: torch.Tensor,
    scaling: float | None,
) -> None:
    """One token in each of two rows that are not adjacent: a slice with a step takes both without copying a key."""
    rows, end = slice(a.row, b.row + 1, b.row - a.row), max(a.at, b.at) + 1
    tokens = slice(a.begin, b.begin + 1, b.begin - a.begin)
    name = ("two", a.row)
    if name not in plan.masks:
        unused = torch.arange(end) > torch.tensor([[a.at], [b.at]])
        mask = query.new_zeros(2, 1, 1, end).masked_fill(unused[:, None, None], float("-inf"))
        plan.masks[name] = mask.expand(2, 1, query.shape[0] // keys.shape[1], end).contiguous()
    q = query[:, tokens].transpose(0, 1).reshape(2, keys.shape[1], -1, query.shape[2])
    k, v = keys[rows, :, :end], values[rows, :, :end]
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=plan.masks[name], scale=scaling)
    out[tokens] = o.reshape(2, query.shape[0], -1)


def _groups(plan: Plan) -> Groups:
    """Return which spans one call attends to together, found once per forward.

    Of the rows that feed one token each: the runs of two and more adjacent ones, then pairs; and the rest of the spans.
    """
    if plan.groups is None:
        runs: list[list[Span]] = []
        for span in plan.spans:
            if span.n == 1 and runs and runs[-1][-1].row == span.row - 1:
                runs[-1].append(span)
            elif span.n == 1:
                runs.append([span])
        singles = [run[0] for run in runs if len(run) == 1]
        pairs = list(zip(singles[::2], singles[1::2], strict=False))
        rest = [span for span in plan.spans if span.n > 1] + singles[2 * len(pairs) :]
        plan.groups = [run for run in runs if len(run) > 1], pairs, rest
    return plan.groups


def _adjacent(spans: list[Span]) -> bool:
    return all(b.row == a.row + 1 for a, b in itertools.pairwise(spans))


def _rows_padded(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    plan: Plan,
    out: torch.Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> None:
    """One call for all rows, padded to the longest: what a GPU likes."""
    heads, kv_heads = query.shape[0], keys.shape[1]
    group = heads // kv_heads
    n = max(span.n for span in plan.spans)
    end = max(span.at + span.n for span in plan.spans)
    rows = [span.row for span in plan.spans]
    if _adjacent(plan.spans):
        k, v = (x[rows[0] : rows[0] + len(rows), :, :end] for x in (keys, values))
    else:
        index = torch.tensor(rows, device=query.device)
        k, v = (x[:, :, :end].index_select(0, index) for x in (keys, values))
    q = query.new_zeros(len(rows), heads, n, query.shape[2])
    for i, span in enumerate(plan.spans):
        q[i, :, : span.n] = query[:, span.begin : span.begin + span.n]
    name = ("padded", window)
    if name not in plan.masks:
        mask = torch.ones(len(rows), 1, n, end, dtype=torch.bool, device=query.device)
        for i, span in enumerate(plan.spans):  # padding queries see everything; their output is not read
            mask[i, 0, : span.n] = False
            mask[i, 0, : span.n, : span.at + span.n] = _span_mask(plan, span, window, query.device)
        plan.masks[name] = mask.repeat(1, 1, group, 1)
    o = _attend(q.reshape(len(rows), kv_heads, group * n, -1), k, v, plan.masks[name], scaling, softcap)
    o = o.reshape(len(rows), heads, n, -1)
    for i, span in enumerate(plan.spans):
        out[span.begin : span.begin + span.n] = o[i, :, : span.n].transpose(0, 1)


def _span_mask(plan: Plan, span: Span, window: int | None, device: torch.device) -> torch.Tensor:
    """What the span's tokens may see: bool ``[n, at + n]``."""
    name = (span, window)
    if name not in plan.masks:
        slot = torch.arange(span.at + span.n, device=device)
        own = torch.arange(span.at, span.at + span.n, device=device)[:, None]
        mask = torch.ones(span.n, span.at + span.n, dtype=torch.bool, device=device) if span.full else slot <= own
        if window is not None:
            mask = mask & (slot > own - window)
        plan.masks[name] = mask
    return plan.masks[name]


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    if softcap is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling)
    scores = q @ k.transpose(-1, -2) * (scaling if scaling is not None else q.shape[-1] ** -0.5)
    scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores.float(), dim=-1).to(q.dtype) @ v


AttentionInterface.register(NAME, slot_attention)
