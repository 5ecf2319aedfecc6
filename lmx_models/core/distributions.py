"""What a distribution over the next token says of it: fp32 logits in, one number a position out. Units: nats.

Sums are of logits shifted by their largest, and of centred ones for the second moment; torch adds them in a tree, and
what is made of the sums is float64. Agreement with a computation in float64 throughout is better than 1e-5.

On a CPU a few positions are taken at a time, so that a row stays in the core's cache between the passes over it, and
the likeliest tokens are looked for in the block with the highest maximum: some ten times as fast as one pass an
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
    if excluded:
        logits = logits.clamp_min(torch.finfo(logits.dtype).min / 4)  # exp is 0, and 0 times it stays 0
    own = logits.gather(1, targets[:, None])
    sums = _sums(logits, own)
    top, second, token = _two_likeliest(logits, sums["blocks"])
    # NaN and infinity stay so in every sum, so it is enough to look once.
    _check_finite(top[:, 0] + sums["rest"] + sums["squares"])
    total = sums["total"].double()
    rest = sums["rest"].double() / total
    log_total = total.log()
    surprisal = log_total - (own - top)[:, 0].double()
    return {
        "entropy": (log_total - sums["guess"].double() - rest).clamp_min_(0.0),
        "varentropy": (sums["squares"].double() / total - rest**2).clamp_min_(0.0),
        "surprisal": surprisal.clamp_min_(0.0),
        "probability": (-surprisal).exp(),
        "rank": sums["higher"].long() + 1,
        "margin": (1.0 - (second - top)[:, 0].double().exp()) / total,
        "top_probability": 1.0 / total,
        "top_token": token,
    }


def _sums(logits: torch.Tensor, own: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return all that needs a pass over the vocabulary, ``[positions]`` each.

    With z = logits less their highest and e = exp z: ``total`` sum e; ``guess`` the mean of z, to the digits of fp32;
    ``rest`` sum e (z - guess) and ``squares`` sum e (z - guess)^2; ``higher`` how many logits are above `own`;
    ``blocks`` the highest of each block ``[positions, blocks]``.
    """
    count, vocabulary = logits.shape
    rows = max(1, CACHED_BYTES // (4 * vocabulary)) if logits.device.type == "cpu" else max(1, count)
    whole = vocabulary - vocabulary % BLOCK
    found = {name: logits.new_empty(count) for name in ("total", "guess", "rest", "squares", "higher")}
    found["blocks"] = logits.new_empty(count, -(-vocabulary // BLOCK))
    buffers = [torch.empty_like(logits[:rows]) for _ in range(3)]
    for begin in range(0, count, rows):
        here = slice(begin, begin + rows)
        part = logits[here]
        z, e, w = (each[: len(part)] for each in buffers)
        total, guess, blocks = found["total"][here], found["guess"][here], found["blocks"][here]
        if whole:
            torch.amax(part[:, :whole].view(len(part), -1, BLOCK), -1, out=blocks[:, : whole // BLOCK])
        if whole < vocabulary:
            torch.amax(part[:, whole:], -1, out=blocks[:, -1])
        torch.sub(part, blocks.amax(-1, keepdim=True), out=z)
        torch.sum(torch.exp(z, out=e), -1, out=total)
        torch.sum(torch.mul(e, z, out=w), -1, out=guess)
        guess.div_(total)
        # Of fp32, for that is many times as fast as of booleans.
        torch.sum(torch.gt(part, own[here], out=w), -1, out=found["higher"][here])
        z.sub_(guess[:, None])
        torch.sum(e.mul_(z), -1, out=found["rest"][here])
        torch.sum(e.mul_(z), -1, out=found["squares"][here])
    return found


def _two_likeliest(logits: torch.Tensor, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the highest logit and the second ``[positions, 1]``, and the id of the highest ``[positions]``.

    Args:
        blocks: the highest of each block of `BLOCK` logits.
    """
    vocabulary = logits.shape[1]
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
