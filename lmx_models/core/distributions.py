"""What a distribution over the next token says of it: fp32 logits in, one number a position out. Units: nats.

All sums that may lose digits are taken over shifted logits (z - max z) and gathered in float64; agreement with a
computation in float64 throughout is better than 1e-5.
"""

from __future__ import annotations

import torch

COLUMNS = ("entropy", "varentropy", "surprisal", "probability", "rank", "margin", "top_probability", "top_token")


class NotFiniteError(ArithmeticError):
    """Logits at `position` (a number among those given) are NaN or infinite."""

    def __init__(self, position: int) -> None:
        super().__init__(f"logits at position {position} are not finite")
        self.position = position


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
    if excluded:
        logits = logits.clamp_min(torch.finfo(logits.dtype).min / 4)  # exp is 0, and 0 times it stays 0
    top = logits.amax(-1, keepdim=True)
    bad = ~(torch.isfinite(top[:, 0]) & torch.isfinite(logits.amin(-1)))
    if bool(bad.any()):
        raise NotFiniteError(int(bad.nonzero()[0, 0]))
    z = logits - top
    e = z.exp()
    total = e.sum(-1, dtype=torch.float64)
    log_total = total.log()
    mean = (e * z).sum(-1, dtype=torch.float64) / total  # of z: minus the entropy, but for log_total
    centred = (z - mean.to(z.dtype)[:, None]).square_()
    varentropy = centred.mul_(e).sum(-1, dtype=torch.float64) / total
    own = z.gather(1, targets[:, None])
    surprisal = log_total - own[:, 0].double()
    second = e.topk(2, dim=-1).values[:, 1].double()
    return {
        "entropy": (log_total - mean).clamp_min_(0.0),
        "varentropy": varentropy,
        "surprisal": surprisal.clamp_min_(0.0),
        "probability": (-surprisal).exp(),
        "rank": (z > own).sum(-1) + 1,
        "margin": (1.0 - second) / total,
        "top_probability": 1.0 / total,
        "top_token": logits.argmax(-1),
    }
