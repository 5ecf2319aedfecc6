"""Attention of the ends of texts over keys and values of the whole texts, in two forms that give the same.

`attend` puts what stands before and the own keys together; `beside` leaves the former where it lies, once for all rows
of one base, and joins two softmaxes by their sums. The second is much faster where few tokens of many rows see a long
text, for copies of that text would cost more than the layer itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

Tensor = torch.Tensor
SHORT = 32
"""Queries of a row up to which `beside` is the faster form; measured on one core, 256 tokens, 9 heads of 64."""


FUSED = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
"""PyTorch's own kernel, by a name that is not public, for no other returns the sums. Without it `attend` is used."""


def whole(own: Tensor, rows: Sequence[Any], start: int, layer: int, name: str) -> Tensor:
    """Return keys or values of whole texts, ``[rows, key heads, start + n, dim]``.

    Args:
        own: of the rows' own tokens, ``[rows, key heads, n, dim]``. name: ``keys`` or ``values``, attributes of rows.
    """
    if not start:
        return own
    before = torch.stack([getattr(row, name)[layer][:, :start] for row in rows])
    return torch.cat([before, own], dim=2)


def attend(q: Tensor, k: Tensor, v: Tensor, scaling: float | None, window: int | None, softcap: float | None) -> Tensor:
    """Return ``[rows, heads, queries, dim]``: causal attention of the last `queries` positions of each text."""
    rows, heads, n, dim = q.shape
    length, shared = k.shape[2], heads // k.shape[1]
    if n == length and n > 1 and window is None and softcap is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=shared > 1)
    own = torch.arange(length - n, length, device=q.device)[:, None]
    slot = torch.arange(length, device=q.device)
    mask = slot <= own
    if window is not None:
        mask = mask & (slot > own - window)
    # Heads that share keys become further queries of one head, so that no key is copied.
    q = q.reshape(rows, k.shape[1], shared * n, dim)
    mask = mask.repeat(shared, 1)
    if softcap is None:
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling)
    else:
        scores = q @ k.transpose(-1, -2) * (scaling if scaling is not None else dim**-0.5)
        scores = (torch.tanh(scores / softcap) * softcap).masked_fill(~mask, float("-inf"))
        o = torch.softmax(scores.float(), dim=-1).to(q.dtype) @ v
    return o.reshape(rows, heads, n, -1)


def beside_fits(q: Tensor, v: Tensor, start: int, window: int | None, softcap: float | None) -> bool:
    """Tell whether `beside` can be used, and is worth it."""
    plain = window is None and softcap is None and q.device.type == "cpu" and q.shape[3] == v.shape[3]
    return FUSED is not None and plain and start > 0 and q.shape[2] <= SHORT


def beside(q: Tensor, k: Tensor, v: Tensor, before: Sequence[tuple[Tensor, Tensor]], scaling: float | None) -> Tensor:
    """Return ``[rows, heads, queries, dim]``, as `attend` does, without copies of what stands before.

    Args:
        k, v: of the rows' own tokens, ``[rows, key heads, n, dim]``; with one query a row it is the last token's.
        before: keys and values of each row's text before, ``[key heads, start, dim]``; rows with the same follow each
            other.

    With s1 and s2 the sums of exponentials over both parts, softmax over all is the parts' softmaxes weighed by
    s1 / (s1 + s2) and s2 / (s1 + s2) (M. Milakov and N. Gimelshein, arXiv 1805.02867).
    """
    rows, heads, n, dim = q.shape
    kv, shared = k.shape[1], heads // k.shape[1]
    own = q.reshape(rows, kv, shared, n, dim).transpose(1, 2).reshape(rows * shared, kv, n, dim)
    keys, values = (each.repeat_interleave(shared, dim=0) for each in (k, v))
    o2, l2 = _with_sums(own, keys, values, n == k.shape[2] and n > 1, scaling)
    o2 = o2.reshape(rows, shared, kv, n, dim).transpose(1, 2)
    l2 = l2.reshape(rows, shared, kv, n).transpose(1, 2)
    merged = q.reshape(rows, kv, shared * n, dim)
    parts, begin = [], 0
    for _, group in itertools.groupby(before, lambda each: (each[0].data_ptr(), each[1].data_ptr())):
        members = list(group)
        some = merged[begin : begin + len(members)].transpose(0, 1).reshape(1, kv, len(members) * shared * n, dim)
        o, sums = _with_sums(some, members[0][0][None], members[0][1][None], False, scaling)
        parts.append(
            (
                o.reshape(kv, len(members), shared, n, dim).transpose(0, 1),
                sums.reshape(kv, len(members), shared, n).transpose(0, 1),
            )
        )
        begin += len(members)
    o1, l1 = (torch.cat(each) for each in zip(*parts, strict=True))
    joined = torch.lerp(o2, o1, torch.sigmoid(l1 - l2).unsqueeze(-1).to(o2.dtype))
    return joined.reshape(rows, heads, n, dim)


def _with_sums(q: Tensor, k: Tensor, v: Tensor, causal: bool, scaling: float | None) -> tuple[Tensor, Tensor]:
    """Return attention, and the logarithm of the sum of exponentials of each query, ``[rows, heads, queries]``."""
    assert FUSED is not None
    o, sums = FUSED(q, k, v, 0.0, causal, scale=scaling)
    return o, sums
