"""The statistics of one consultation: of the base's next-token distribution, and of its last layer's attention.

All entropies are in bits (log2), all varentropies in bits squared. Shapes: H heads, G key heads (H is a multiple of G),
T tokens of context, D dimensions of a head. A query head h attends through key head h // (H / G).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TOKEN_MEASURES = ("entropy", "varentropy", "top_prob", "prob_top2_diff")
ATTENTION_MEASURES = ("attn_entropy", "attn_varentropy", "agreement", "interaction_strength")
BLOCK = 8_000_000
"""Attention weights held in memory at once."""


def token_measures(logits: Floats) -> dict[str, float]:
    """Return entropy, varentropy, the highest probability and its lead over the second, from logits ``[vocabulary]``.

    H = -sum p log2 p; V = sum p (log2 p + H)^2.
    """
    shifted = logits.astype(np.float64) - logits.max()
    logp = shifted - math.log(np.exp(shifted).sum())
    p, bits = np.exp(logp), logp / math.log(2)
    h = -float(np.sum(p * np.where(p > 0, bits, 0.0)))
    first, second = (float(x) for x in np.sort(np.partition(p, -2)[-2:])[::-1])
    variance = float(np.sum(p * np.where(p > 0, bits + h, 0.0) ** 2))
    return dict(zip(TOKEN_MEASURES, (h, variance, first, first - second), strict=True))


def corrected(query: Floats, key: Floats, visible: Bools, scaling: float) -> dict[str, float]:
    """Return the attention statistics of one query, the context's last token.

    With a_h the attention row of head h: attn_entropy = mean_h H(a_h); attn_varentropy = var_h H(a_h);
    agreement = 1 - mean_h (1/2) sum_j |a_hj - mean_h a_hj| (1: all heads look at the same tokens);
    interaction_strength = mean over heads and visible keys of |q.k| / sqrt(D).

    Args:
        query: ``[H, D]``, after any normalisation and rotation. key: ``[G, T, D]``, likewise.
        visible: keys that the query may see, ``[T]``. scaling: the model's factor of q.k before the softmax.
    """
    products = _products(query[:, None, :], key)[:, 0, visible]
    rows = _softmax(products * scaling)
    entropies = _entropy(rows)
    distance = np.abs(rows - rows.mean(axis=0)).sum(axis=-1) / 2
    values = (
        entropies.mean(), entropies.var(), 1 - distance.mean(), np.abs(products).mean() / math.sqrt(query.shape[-1])
    )  # fmt: skip
    return {name: float(value) for name, value in zip(ATTENTION_MEASURES, values, strict=True)}


def seed(query: Floats, key: Floats, visible: Bools, scaling: float) -> dict[str, float]:
    """Return the attention statistics as the study's script computed them, flaws included, to compare old files with.

    The script read the attention *weights* a of all queries as if they were scores: it took their softmax once more
    (so every row is nearly uniform, future tokens included, and its entropy close to log2 T), the variance of the
    entropies over queries in place of heads (T - 1 in the denominator), the mean of |a - mean_h a| over everything,
    and the mean of |a| for the interaction, which is 1/T since each of the T rows sums to 1.

    Args:
        query: ``[H, T, D]``. key: ``[G, T, D]``. visible: ``[T, T]``, queries by keys. scaling: see `corrected`.
    """
    heads, length, _ = query.shape
    entropies = np.empty((heads, length))
    spread = weight = 0.0
    step = max(1, BLOCK // (heads * length))
    for start in range(0, length, step):
        block = slice(start, start + step)
        scores = np.where(visible[None, block], _products(query[:, block], key) * scaling, -np.inf)
        once = _softmax(scores)
        twice = _softmax(once)
        entropies[:, block] = _entropy(twice)
        spread += float(np.abs(twice - twice.mean(axis=0)).sum())
        weight += float(once.sum())
    cells = heads * length * length
    variance = float(entropies.var(axis=1, ddof=1).mean()) if length > 1 else math.nan
    values = (float(entropies.mean()), variance, spread / cells, weight / cells)
    return dict(zip(ATTENTION_MEASURES, values, strict=True))


def _products(query: Floats, key: Floats) -> Floats:
    """Return q.k, ``[H, queries, T]``, each query head with its key head."""
    heads, groups = query.shape[0], key.shape[0]
    grouped = query.astype(np.float64).reshape(groups, heads // groups, *query.shape[1:])
    return np.einsum("ghqd,gtd->ghqt", grouped, key.astype(np.float64)).reshape(heads, query.shape[1], -1)


def _softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _entropy(rows: Floats) -> Floats:
    return -(rows * np.log2(np.where(rows > 0, rows, 1.0))).sum(axis=-1)
