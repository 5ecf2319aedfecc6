"""WeDLM: a window of masks behind the text is filled by confidence, in any order, over a causal cache.

Liu et al. 2025, *WeDLM: Reconciling Diffusion Language Models with Standard Causal Attention for Fast Inference*
(arXiv 2512.22737): topological reordering and streaming parallel decoding. `verify` is an addition of this project.

The model has two heads in one: the logits at a mask predict the token at that very position, the logits at a real
token predict the next one. Real tokens are written to the cache before masks, each with the position (RoPE) that it
has in the text. A leading run of filled tokens therefore has the keys and values that plain autoregression gives it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Decoding, Feed, Finish, Generation, Segment
from lmx_models.core.sampling import Sampling, sample
from lmx_models.core.stopping import Stopping

VERIFY = ("ar",)


@dataclass(frozen=True)
class WeDLMConfig:
    """Settings of streaming parallel decoding.

    Attributes:
        window: masks behind the known text (W). By ``--model wedlm``: what config.json names, if anything.
        tau: a mask is filled if its adjusted entropy is below this, in nats. None: one token a forward.
        distance: penalty on the entropy for each position behind the first mask, in nats. Users call it ``lambda``
            as the paper does; Python reserves that word (`names` of the method).
        verify: ``ar``: a filled token is kept only if it is the autoregressive argmax, so that the text is that of
            greedy autoregression.
    """

    window: int = 16
    tau: float | None = 0.4
    distance: float = 0.02
    verify: str | None = None

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UserError(f"window={self.window} must be a whole number of at least 1")
        if self.tau is not None and self.tau < 0:
            raise UserError(f"tau={self.tau} must be at least 0 nats, inf, or None (one token a forward)")
        if not 0 <= self.distance < float("inf"):
            raise UserError(f"lambda={self.distance} must be 0 (off) or a positive number of nats a position")
        if self.verify is not None and self.verify not in VERIFY:
            raise unknown("verify", self.verify, [*VERIFY, "None"])


def refuse_sampled_verification(config: WeDLMConfig, sampling: Sampling) -> None:
    """Refuse ``verify`` beside a temperature: what it writes is the greedy text."""
    if config.verify and sampling.temperature:
        raise UserError(
            f"verify={config.verify} writes the text of greedy decoding, and temperature={sampling.temperature:g}: set "
            "temperature=0, or leave verify out"
        )


class Filled(NamedTuple):
    """A mask that was filled: with which id, and by which forward (the prefill is 1)."""

    token: int
    step: int


# long: the loop in one piece, as it is published
def wedlm(
    prompt: Sequence[int],
    model: str,
    mask: int,
    config: WeDLMConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    source: str = "wedlm",
) -> Decoding:
    """Write a text with `model` by filling a window of masks that moves along behind it.

    A token counts as text as soon as nothing before it is masked. The text ends there if it is an end of text, if it
    completes a stop string or reaches the limit, without another forward. What stands in the window behind an end of
    text can never be kept: it is dropped at once, and no mask is added.

    Args:
        prompt: ids of the prompt, at least one.
        mask: id of the mask token; it is fed, and never sampled.
        rng: the sequence's own stream of random numbers; not touched at temperature 0.
        source: name of the segment in the trace.

    Returns:
        A generation whose `extra` holds ``steps`` (for each token the forward that filled it; the prefill is 1) and
        ``ar_logprob``, the sum of the autoregressive log-probabilities (nats) of the first ``ar_logprob_tokens``
        tokens given the prompt. Tokens behind those were filled last and have not gone through the model.
    """
    if not prompt:
        raise ValueError("wedlm needs a prompt of at least one token")
    text = _Text(stopping, source)
    start, limit = len(prompt), len(prompt) + stopping.max_tokens
    filled: dict[int, Filled] = {}  # by place in the text; a place that is neither here nor cached is a mask
    holes = list(range(start, min(start + config.window, limit)))  # the masks in the window
    logits = yield Feed(model, [*prompt, *[mask] * len(holes)], at=0, keep=start, logits=len(holes) + 1)
    ahead, rows = logits[0], logits[1:]  # autoregressive logits of the place `cached`, and what each hole predicts
    cached, step = start, 1
    while True:
        if config.verify:
            if cached in filled:  # a token was refused: all that was filled behind it, or has seen it, is forgotten
                filled, holes, rows = {}, [], rows[:0]
            filled[cached] = Filled(int(ahead.argmax()), step)
            stopping.record(cached - start, ahead, filled[cached].token)
            holes, rows = holes[1:], rows[1:]
            text.filled += 1
        for place, token, row in _fill(holes, rows, mask, config, sampling, rng):
            filled[place] = Filled(token, step)
            stopping.record(place - start, row, token)
            text.filled += 1
        ended = min((place for place, one in filled.items() if one.token in stopping.eos), default=limit)
        filled = {place: one for place, one in sorted(filled.items()) if place <= ended}
        frontier = next(place for place in itertools.count(cached) if place not in filled)
        certain = cached + 1 if config.verify else frontier
        if finish := text.commit(filled[place] for place in range(cached, certain)):
            text.score(ahead[None])
            return text.generation(finish)

        holes = [i for i in range(frontier, min(frontier + config.window, ended, limit)) if i not in filled]
        logits = yield Feed(
            model,
            [*(one.token for one in filled.values()), *[mask] * len(holes)],
            at=cached,
            positions=[*filled, *holes],
            keep=frontier - cached,
            logits=len(filled) + len(holes),
        )
        step += 1
        if config.verify:
            certain = cached + _count_right([filled[place].token for place in range(cached, frontier)], logits)
            finish = text.commit(filled[place] for place in range(cached + 1, certain))
        if certain > cached:
            text.score(torch.cat([ahead[None], logits[: certain - cached - 1]]))
            ahead = logits[certain - cached - 1].clone()  # a view would keep the logits of the whole batch
        if finish:
            return text.generation(finish)
        rows, cached = logits[len(filled) :], certain
        filled = {place: one for place, one in filled.items() if place >= cached}


def _fill(
    holes: Sequence[int],
    rows: torch.Tensor,
    mask: int,
    config: WeDLMConfig,
    sampling: Sampling,
    rng: random.Random,
) -> list[tuple[int, int, torch.Tensor]]:
    """Choose the masks to fill by entropy, and draw their tokens.

    Args:
        holes: places of the masks, ascending.
        rows: their logits, ``[holes, vocabulary]``.

    Returns:
        Place, id, and the logits that it was chosen from.
    """
    if not holes:
        return []
    # Not `core.distributions.token_scores`, whose last digits differ: they decide which mask is filled.
    entropies = torch.special.entr(torch.softmax(rows.float(), dim=-1)).sum(-1).tolist()
    adjusted = [h + config.distance * (place - holes[0]) for h, place in zip(entropies, holes, strict=True)]
    chosen = [j for j, value in enumerate(adjusted) if config.tau is not None and value < config.tau]
    if not chosen and not config.verify:  # a verified forward has filled one already
        chosen = [min(range(len(holes)), key=adjusted.__getitem__)]
    allowed = rows[chosen]
    allowed[:, mask] = float("-inf")
    if sampling.temperature == 0:
        tokens = allowed.argmax(-1).tolist()
    else:
        tokens = [sample(row, sampling, rng) for row in allowed]
    return [(holes[j], token, row) for j, token, row in zip(chosen, tokens, allowed, strict=True)]


def _count_right(tokens: Sequence[int], logits: torch.Tensor) -> int:
    """Count the leading `tokens` that are each the argmax of the logits at the one before; the first one is."""
    best = logits[: len(tokens) - 1].argmax(-1).tolist()
    return 1 + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(tokens[1:], best, strict=True)))


class _Text:
    """The text so far, by which forward each token was filled, and its autoregressive log-probability."""

    def __init__(self, stopping: Stopping, source: str) -> None:
        self.stopping, self.source = stopping, source
        self.tokens: list[int] = []
        self.steps: list[int] = []
        self.filled = 0  # tokens in all, those included that are dropped
        self._scored = 0
        self._log_probability: torch.Tensor | float = 0.0

    def commit(self, entries: Iterable[Filled]) -> Finish | None:
        """Append filled tokens up to one that ends the text, and say why it does."""
        for one in entries:
            self.tokens.append(one.token)
            self.steps.append(one.step)
            if finish := self.stopping.check(self.tokens):
                return finish
        return None

    def score(self, rows: torch.Tensor) -> None:
        """Add the log-probabilities of the next tokens that have none yet; `rows`: logits ``[tokens, vocabulary]``."""
        tokens = self.tokens[self._scored : self._scored + len(rows)]
        ids = torch.tensor(tokens, dtype=torch.long, device=rows.device)
        log_p = torch.log_softmax(rows[: len(tokens)].float(), dim=-1).gather(1, ids[:, None])
        self._log_probability = self._log_probability + log_p.double().sum()
        self._scored += len(tokens)

    def generation(self, finish: Finish) -> Generation:
        """Return the finished text."""
        extra = {
            "steps": self.steps,
            "ar_logprob": float(self._log_probability),
            "ar_logprob_tokens": self._scored,
        }
        segments = [Segment(self.source, 0, len(self.tokens))]
        return Generation(self.tokens, segments, finish, self.filled - len(self.tokens), extra)
