"""What a distribution over the next token says of it: fp32 logits in, one number a position out. Units: nats.

Sums are of logits shifted by their largest, and of centred ones for the second moment; torch adds them in a tree, and
what is made of the sums is float64. Agreement with a computation in float64 throughout is better than 1e-5.

On a CPU a few positions are taken at a time, so that a row stays in the core's cache between the passes over it, and
the likeliest tokens are looked for in the block with the highest maximum: some six times as fast as one pass an
operator over all positions, of which ``topk``, ``argmax`` and float64 sums are the slow ones.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch

COLUMNS = ("entropy", "varentropy", "surprisal", "probability", "rank", "margin", "top_probability", "top_token")
CACHED_BYTES = 1 << 20
"""Logits that are taken at a time on a CPU: with two buffers of that size they fit in a core's second-level cache."""
BLOCK = 256


class NotFiniteError(ArithmeticError):
    """Logits at `position` (a number among those given) are NaN or infinite.

    Attributes:
        key: of the text, where several are written. role: of the model that gave them, where there are several.
    """

    def __init__(self, position: int, key: Hashable = None, role: str = "") -> None:
        super().__init__(f"logits at position {position} are not finite")
        self.position, self.key, self.role = position, key, role


def token_scores(logits: torch.Tensor, targets: torch.Tensor, excluded: bool = False) -> dict[str, torch.Tensor]:
    """Return the scores of given tokens.

    ``entropy`` H = log sum exp z - sum p z. ``varentropy`` sum p (log p + H)^2, nats squared. ``surprisal`` -log p of
    the target, ``probability`` its p. ``rank``: 1 if no token has a higher logit. ``margin``: p of the likeliest less
    that of the second. ``top_probability`` and ``top_token``: of the likeliest (the lowest id, of equals).

    Args:
        logits: fp32 ``[positions, vocabulary]``, at least two columns. targets: ids ``[positions]``.
        excluded: logits of minus infinity are tokens that cannot be, such as a mask, and no fault.

    Raises:
        NotFiniteError: a logit is NaN or infinite.
    """
    count = len(logits)
    rows = max(1, CACHED_BYTES // (4 * logits.shape[1])) if logits.device.type == "cpu" else max(1, count)
    buffers = [torch.empty_like(logits[:rows]) for _ in range(3)]
    parts = []
    for begin in range(0, max(1, count), rows):
        own = slice(begin, begin + rows)
        try:
            parts.append(_scores(logits[own], targets[own], excluded, [each[: count - begin] for each in buffers]))
        except NotFiniteError as error:
            raise NotFiniteError(begin + error.position) from None
    return {name: torch.cat([part[name] for part in parts]) for name in COLUMNS}


def _scores(
    logits: torch.Tensor, targets: torch.Tensor, excluded: bool, buffers: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    if excluded:
        logits = logits.clamp_min(torch.finfo(logits.dtype).min / 4)  # exp is 0, and 0 times it stays 0
    top, second, token = _two_likeliest(logits)
    z = torch.sub(logits, top, out=buffers[0])
    e = torch.exp(z, out=buffers[1])
    own = z.gather(1, targets[:, None])
    total = e.sum(-1).double()
    guess = torch.mul(e, z, out=buffers[2]).sum(-1) / total.float()  # of the mean of z, to the digits of fp32
    _check_finite(guess + top[:, 0])
    rank = torch.gt(z, own, out=buffers[2]).sum(-1).long() + 1  # as fp32: many times as fast as booleans
    z.sub_(guess[:, None])
    weighted = e.mul_(z)
    rest = weighted.sum(-1).double() / total
    varentropy = weighted.mul_(z).sum(-1).double() / total - rest**2
    log_total = total.log()
    surprisal = log_total - own[:, 0].double()
    return {
        "entropy": (log_total - guess.double() - rest).clamp_min_(0.0),
        "varentropy": varentropy.clamp_min_(0.0),
        "surprisal": surprisal.clamp_min_(0.0),
        "probability": (-surprisal).exp(),
        "rank": rank,
        "margin": (1.0 - (second - top)[:, 0].double().exp()) / total,
        "top_probability": 1.0 / total,
        "top_token": token,
    }


def _two_likeliest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the highest logit and the second ``[positions, 1]``, and the id of the highest ``[positions]``."""
    vocabulary = logits.shape[1]
    whole = vocabulary - vocabulary % BLOCK
    highest = [logits[:, :whole].view(len(logits), -1, BLOCK).amax(-1)] if whole else []
    if whole < vocabulary:
        highest.append(logits[:, whole:].amax(-1, keepdim=True))
    blocks = torch.cat(highest, 1)
    _check_finite(blocks.amax(-1))
    block = blocks.argmax(-1, keepdim=True)  # the first of equals
    ids = block * BLOCK + torch.arange(min(BLOCK, vocabulary), device=logits.device)
    inside = logits.gather(1, ids.clamp_max(vocabulary - 1)).masked_fill_(ids >= vocabulary, -torch.inf)
    token = block[:, 0] * BLOCK + inside.argmax(-1)
    top = inside.amax(-1, keepdim=True)
    others = blocks.scatter(1, block, -torch.inf).amax(-1, keepdim=True)
    second = torch.maximum(inside.scatter(1, token[:, None] - block * BLOCK, -torch.inf).amax(-1, keepdim=True), others)
    return top, second, token


def _check_finite(values: torch.Tensor) -> None:
    good = torch.isfinite(values)
    if not bool(good.all()):
        raise NotFiniteError(int((~good).nonzero()[0, 0]))
