"""What a distribution over the next token says of it: fp32 logits in, one number a position out. Units: nats.

All sums that may lose digits are taken over shifted logits (z - max z) and gathered in float64; agreement with a
computation in float64 throughout is better than 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lmx_models.core import distributions
from lmx_models.core.distributions import COLUMNS, NotFiniteError, token_scores
from lmx_probes.heads import Head

__all__ = ["COLUMNS", "NotFiniteError", "TopK", "compare", "score", "token_scores"]


@dataclass(frozen=True)
class TopK:
    """The k most likely tokens ``[positions, k]`` and their log-probabilities (nats), the likeliest first."""

    tokens: torch.Tensor
    log_probabilities: torch.Tensor


def score(
    head: Head, hidden: torch.Tensor, targets: torch.Tensor, k: int = 0
) -> tuple[dict[str, torch.Tensor], TopK | None]:
    """Apply a head in chunks of positions and return the scores of the targets, on the CPU; see `token_scores`.

    Args:
        hidden: ``[positions, width]``. k: how many of the most likely tokens are kept; 0: none.
    """
    found: dict[str, list[torch.Tensor]] = {name: [] for name in COLUMNS}
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.inference_mode():
        for part in head.chunks(len(hidden)):
            logits = head.logits(hidden[part])
            try:
                scores = token_scores(logits, targets[part].to(logits.device))
            except NotFiniteError as error:
                raise NotFiniteError(part.start + error.position) from None
            for name, values in scores.items():
                found[name].append(values.cpu())
            if k:
                values, tokens = logits.topk(min(k, head.vocabulary), dim=-1)
                kept.append((tokens.cpu(), (values - torch.logsumexp(logits, -1, keepdim=True)).cpu()))
    top = TopK(torch.cat([t for t, _ in kept]), torch.cat([v for _, v in kept])) if kept else None
    return {name: torch.cat(parts) if parts else torch.zeros(0) for name, parts in found.items()}, top


def compare(a: torch.Tensor, b: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return how two distributions over the same tokens differ, computed in float64.

    ``kl_ab`` = KL(a || b) and ``kl_ba``, ``js`` (Jensen-Shannon divergence, at most log 2), ``delta_probability`` of
    the target (b less a), ``same_top``, ``rank_a_in_b``: rank in b of the likeliest token of a, and ``rank_b_in_a``;
    ``surprisal_a`` and ``surprisal_b`` of the target.

    Args:
        a, b: logits ``[positions, vocabulary]``. targets: ids ``[positions]``.
    """
    rows = max(1, distributions.CACHED_BYTES // (8 * a.shape[1])) if a.device.type == "cpu" else max(1, len(a))
    cuts = range(0, max(1, len(a)), rows)  # on a CPU so few that a row stays in the core's cache
    parts = [_compare(a[i : i + rows], b[i : i + rows], targets[i : i + rows]) for i in cuts]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _compare(a: torch.Tensor, b: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    log_a, log_b = (torch.log_softmax(z.double(), -1) for z in (a, b))
    p, q = log_a.exp(), log_b.exp()
    gap = log_a - log_b
    kl_ab, kl_ba = (p * gap).sum(-1), -(q * gap).sum(-1)
    # log((p + q) / 2) - log p = log(1 + exp(-gap)) - log 2, and likewise for q
    to_a = torch.nn.functional.softplus(-gap) - _LOG2
    js = -0.5 * ((p * to_a).sum(-1) + (q * (to_a + gap)).sum(-1))
    top_a, top_b = a.argmax(-1, keepdim=True), b.argmax(-1, keepdim=True)
    at = targets[:, None]
    return {
        "kl_ab": kl_ab,
        "kl_ba": kl_ba,
        "js": js,
        "delta_probability": (q.gather(1, at) - p.gather(1, at))[:, 0],
        "surprisal_a": -log_a.gather(1, at)[:, 0],
        "surprisal_b": -log_b.gather(1, at)[:, 0],
        "same_top": (top_a == top_b)[:, 0],
        "rank_a_in_b": _higher(b, b.gather(1, top_a)) + 1,
        "rank_b_in_a": _higher(a, a.gather(1, top_b)) + 1,
    }


def _higher(logits: torch.Tensor, than: torch.Tensor) -> torch.Tensor:
    return torch.gt(logits, than, out=torch.empty_like(logits)).sum(-1).long()


_LOG2 = 0.6931471805599453
