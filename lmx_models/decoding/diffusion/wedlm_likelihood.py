"""Likelihood of a text under WeDLM's diffusion head: a bound, estimated from random masks over a causal cache."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from lmx_models.core.base import Decoding, Feed, Generation
from lmx_models.decoding.diffusion.denoising import Prediction
from lmx_models.decoding.diffusion.elbo import is_greedy, log_likelihood


def wedlm_likelihood(
    prompt: Sequence[int],
    tokens: Sequence[int],
    samples: int,
    rng: random.Random,
    mask: int,
    model: str = "wedlm",
) -> Decoding:
    """Score `tokens` after `prompt` as `elbo.log_likelihood` says; the prompt is fed once.

    A draw feeds the tokens that are seen, then the masks, each with its own position: the order in which WeDLM was
    trained and writes. The mask id has no probability, for nothing ever writes it.

    Returns:
        A generation whose `extra` holds ``log_likelihood`` in nats and ``is_greedy``: whether filling one token a
        forward, the most confident first, gives `tokens`.
    """
    if prompt:
        yield Feed(model, prompt, at=0)

    def ask(masked: list[int]) -> Prediction:
        hidden = set(masked)
        order = [i for i in range(len(tokens)) if i not in hidden] + masked
        fed = [mask if i in hidden else tokens[i] for i in order]
        positions = [len(prompt) + i for i in order]
        logits = yield Feed(model, fed, len(prompt), positions, keep=0, logits=len(masked))
        return logits.index_fill(1, torch.tensor([mask], device=logits.device), float("-inf"))

    value = yield from log_likelihood(ask, tokens, samples, rng)
    greedy = yield from is_greedy(ask, tokens)
    return Generation(list(tokens), [], "length", extra={"log_likelihood": value, "is_greedy": greedy})
