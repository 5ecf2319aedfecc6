"""What the log-probabilities of the k most likely tokens say of the whole distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def entropy_bounds(top: Sequence[float], vocabulary: int) -> tuple[float, float]:
    """Return the least and the largest entropy (nats) of a distribution over `vocabulary` tokens with this top.

    The other tokens share the mass r = 1 - sum p, none of them more likely than the last of the top, q. Entropy is
    Schur-concave: it is least if the mass lies on as few tokens as may be, floor(r/q) of probability q and one with
    the rest, and largest if it lies evenly on all.

    Args:
        top: log-probabilities of the k most likely tokens, descending.
        vocabulary: number of tokens, k included.
    """
    least = least_entropy(top, vocabulary)
    low = float(-(least.exp() * least).sum())
    p = [math.exp(value) for value in top]
    rest, others = max(0.0, 1.0 - sum(p)), vocabulary - len(top)
    high = -sum(a * b for a, b in zip(p, top, strict=True))
    if rest > 0 and others > 0:
        high -= rest * math.log(rest / others)
    return min(low, high), max(low, high)


def least_entropy(top: Sequence[float], vocabulary: int) -> torch.Tensor:
    """Return the distribution of least entropy with this top, as log-probabilities ``[m]``, descending.

    Its most likely token, its margin and its top probability are those of the whole distribution.
    """
    q = math.exp(top[-1])
    rest = max(0.0, 1.0 - sum(math.exp(value) for value in top))
    # Rounded log-probabilities may leave more than the other tokens can hold.
    full = min(int(rest / q), max(vocabulary - len(top), 0)) if q > 0 else 0
    left = rest - full * q
    tail = [math.log(left)] if left > 1e-12 else []
    parts = [torch.tensor(part, dtype=torch.float64) for part in (top, tail)]
    return torch.cat([parts[0], torch.full((full,), top[-1], dtype=torch.float64), parts[1]])
