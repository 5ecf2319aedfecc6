"""Sampling one token, with a generator of random numbers that belongs to one sequence."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import torch

from lmx_files.errors import UserError, unknown

SAMPLINGS = ("plain", "model")
# Sorting a whole vocabulary is the slowest part of top-p; the nucleus nearly always lies in this many tokens.
_NUCLEUS_GUESS = 512


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits. temperature 0 means argmax.

    The temperature divides *before* top-k, top-p and min-p, in this order, as in transformers. `top_k` 0, `top_p` 1
    and `min_p` 0 are off. Top-p keeps the smallest set of tokens whose probability reaches it (Holtzman et al. 2020);
    min-p drops tokens less probable than `min_p` times the most probable one (Nguyen et al. 2024).

    `sampling` says where these come from if a request leaves them open: ``plain``: nothing is cut off; ``model``: the
    model's generation_config and transformers' defaults (top_k=50), as lm_eval's ``hf`` samples. Here all are given.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    sampling: str = "plain"

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature={self.temperature} must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise UserError(f"top_k={self.top_k} must be 0 (off) or a positive whole number")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must lie in (0, 1]; 1 is off")
        if not 0 <= self.min_p < 1:
            raise UserError(f"min_p={self.min_p} must lie in [0, 1); 0 is off")
        if self.sampling not in SAMPLINGS:
            raise unknown("sampling", self.sampling, SAMPLINGS)


def stream(*parts: object) -> random.Random:
    """Return the random stream that belongs to `parts` (seed, task, document, ...), the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def probabilities(logits: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``(p, ids)``, descending: the candidates that survive the filters and their renormalised probabilities.

    Args:
        logits: shape ``[vocabulary]``.

    Returns:
        Two tensors of shape ``[candidates]``; `p` is float64 and sums to 1.
    """
    scaled = logits.double() / sampling.temperature
    p = torch.softmax(scaled, dim=-1)
    size = p.shape[-1]
    if sampling.top_k:
        top, ids = torch.topk(p, min(sampling.top_k, size))
    elif sampling.top_p < 1 and size > _NUCLEUS_GUESS:
        top, ids = torch.topk(p, _NUCLEUS_GUESS)
        if float(top.sum()) < sampling.top_p:
            top, ids = torch.sort(p, descending=True)
    else:
        top, ids = torch.sort(p, descending=True)
    if sampling.top_k:
        top = top / top.sum()
    if sampling.top_p < 1:
        before = torch.cumsum(top, dim=-1) - top
        keep = before < sampling.top_p
        top, ids = top[keep], ids[keep]
        top = top / top.sum()
    if sampling.min_p:
        keep = top >= sampling.min_p * top[0]
        top, ids = top[keep], ids[keep]
    return top / top.sum(), ids


def sample(logits: torch.Tensor, sampling: Sampling, rng: random.Random) -> int:
    """Draw one id from `logits` of shape ``[vocabulary]``.

    Draws by inverting the cumulative distribution with one number from `rng`, so the outcome depends on the sequence's
    own stream alone: not on the batch, nor on the device's generator.
    """
    if sampling.temperature == 0:
        return int(logits.argmax())
    u = rng.random()
    if not sampling.top_k and sampling.top_p == 1 and not sampling.min_p:
        # No filter: the order of the candidates does not matter, so skip the sort.
        p = torch.softmax(logits.double() / sampling.temperature, dim=-1)
        at = int(torch.searchsorted(torch.cumsum(p, dim=-1), u))
        return min(at, p.shape[-1] - 1)
    p, ids = probabilities(logits, sampling)
    at = int(torch.searchsorted(torch.cumsum(p, dim=-1), u))
    return int(ids[min(at, ids.shape[-1] - 1)])
