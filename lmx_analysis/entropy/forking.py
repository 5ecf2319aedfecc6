"""Tokens at which a text could go on in several ways: entropy at or above the model's own 80th percentile.

The definition of "Beyond the 80/20 Rule" (arXiv 2506.01939), which TRL calls ``top_entropy_quantile``. Two models that
choose their fifth of the tokens independently share a fifth of them by chance, so an overlap says something only beside
that number.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.entropy.load import Measurement

QUANTILE = 0.8


def forking(entropy: NDArray[np.float64], quantile: float = QUANTILE) -> NDArray[np.bool_]:
    """Tell which tokens are forking ones."""
    return entropy >= np.quantile(entropy, quantile)


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> dict[str, float]:
    """Return how many forking tokens two models share, and how many they would by chance.

    ``overlap``: of a's tokens that are b's too; by chance the share of all tokens that are b's. ``jaccard``: of those
    that either has; by chance ab / (a + b - ab) with their shares a and b.
    """
    share_a, share_b = float(a.mean()), float(b.mean())
    both, either = int((a & b).sum()), int((a | b).sum())
    chance = share_a * share_b
    return {
        "share_a": share_a,
        "share_b": share_b,
        "overlap": both / max(1, int(a.sum())),
        "overlap_by_chance": share_b,
        "jaccard": both / max(1, either),
        "jaccard_by_chance": chance / (share_a + share_b - chance) if share_a + share_b else 0.0,
    }


def overlaps(found: Measurement) -> list[dict[str, Any]]:
    """Return one row for each pair of models that read the same tokens."""
    if not found.shared:
        return []
    marks = {name: forking(table["entropy"].to_numpy()) for name, table in found.tokens.items()}
    return [{"a": a, "b": b, **overlap(marks[a], marks[b])} for a, b in itertools.combinations(found.names, 2)]


def thresholds(found: Measurement) -> list[dict[str, Any]]:
    """Return where each model's 80th percentile lies, and its forking tokens that are most frequent."""
    rows = []
    for name, table in found.tokens.items():
        mark = forking(table["entropy"].to_numpy())
        frequent = table.loc[mark, "next_token"].value_counts().head(10)
        rows.append(
            {
                "model": name,
                "threshold": float(np.quantile(table["entropy"], QUANTILE)),
                "tokens": int(mark.sum()),
                "share": float(mark.mean()),
                "frequent": " ".join(repr(str(token)) for token in frequent.index),
            }
        )
    return rows
