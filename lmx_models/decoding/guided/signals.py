"""Signals of uncertainty, read from one position's logits.

Not by `core.distributions.token_scores`, which gives all scores at once and agrees to some 1e-5: thresholds that were
calibrated, and the signals in traces, hold these digits, and a signal at its threshold decides who writes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def entropy(logits: torch.Tensor) -> float:
    """Entropy of the next-token distribution in nats: H = -sum p log p, from fp32 logits ``[vocabulary]``."""
    logp = torch.log_softmax(logits.float(), dim=-1)
    return float(-(logp.exp() * logp).nan_to_num(0.0).sum())


def varentropy(logits: torch.Tensor) -> float:
    """Variance of the surprisal in nats squared: sum p (log p + H)^2."""
    logp = torch.log_softmax(logits.float(), dim=-1)
    p = logp.exp()
    h = -(p * logp).nan_to_num(0.0).sum()
    return float((p * (logp + h) ** 2).nan_to_num(0.0).sum())


def margin(logits: torch.Tensor) -> float:
    """Probability of the most likely token less that of the second."""
    top = torch.softmax(logits.float(), dim=-1).topk(2).values
    return float(top[0] - top[1])


def top_p(logits: torch.Tensor) -> float:
    """Probability of the most likely token."""
    return float(torch.softmax(logits.float(), dim=-1).max())


SIGNALS: dict[str, Callable[[torch.Tensor], float]] = {
    "entropy": entropy,
    "varentropy": varentropy,
    "margin": margin,
    "top_p": top_p,
}
# A low margin or a low top probability means doubt; a high (var)entropy does.
DOUBT_IS_HIGH = {"entropy": True, "varentropy": True, "margin": False, "top_p": False}
