"""Likelihood under masked diffusion: a Monte Carlo estimate of the evidence lower bound, or the bound itself.

A masked diffusion model gives no exact likelihood. What is reported is the lower bound

    E_l E_S [ L / l * sum over i in S of log p(token i | the tokens outside S) ]

with l uniform in 1..L and S uniform among the sets of l of the L tokens: LLaDA's estimator (arXiv 2502.09992, equation
6), which has the expectation of MDLM's (arXiv 2406.07524; masks at a rate uniform in (0, 1), weight 1 / rate) at less
variance. For block diffusion the bound is taken block by block, each given the clean blocks before it, and summed
(BD3-LM, arXiv 2503.09573, section 3).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Generator, Sequence

import torch

from lmx_models.core.base import Decoding, Feed, Generation
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, prompt_blocks
from lmx_models.decoding.diffusion.denoising import Head, Prediction, predict

# Makes the prediction for masked indices into the scored tokens, ascending, all others being seen.
Ask = Callable[[list[int]], Prediction]
Bound = Generator[Feed, torch.Tensor, float]


def log_likelihood(ask: Ask, tokens: Sequence[int], samples: int, rng: random.Random) -> Bound:
    """Return the bound in nats: enumerated where that takes no more forwards than sampling, else estimated."""
    if 2 ** len(tokens) - 1 <= samples:
        return exact_log_likelihood(ask, tokens)
    return mc_log_likelihood(ask, tokens, samples, rng)


def mc_log_likelihood(ask: Ask, tokens: Sequence[int], samples: int, rng: random.Random) -> Bound:
    """Estimate the bound in nats from `samples` draws, one forward each.

    The draws' numbers of masks are spread evenly over 1..L from a random start, which keeps the estimate unbiased and
    lowers its variance.
    """
    length = len(tokens)
    start = rng.randrange(length)
    total = 0.0
    for j in range(samples):
        count = 1 + (start + j * length // samples) % length
        masked = sorted(rng.sample(range(length), count))
        total += length / count * (yield from _masked_log_prob(ask, tokens, masked))
    return total / samples


def exact_log_likelihood(ask: Ask, tokens: Sequence[int]) -> Bound:
    """Return the bound in nats from all ``2 ** L - 1`` sets of masks: for a few tokens."""
    length = len(tokens)
    total = 0.0
    for count in range(1, length + 1):
        for masked in itertools.combinations(range(length), count):
            # P(l) = 1 / L; each of the sets of l is as likely; weight L / l
            weight = 1 / (count * math.comb(length, count))
            total += weight * (yield from _masked_log_prob(ask, tokens, list(masked)))
    return total


def is_greedy(ask: Ask, tokens: Sequence[int]) -> Generator[Feed, torch.Tensor, bool]:
    """Tell whether filling one token a forward, the most confident first, at temperature 0 gives `tokens`."""
    masked = list(range(len(tokens)))
    while masked:
        logits = yield from ask(masked)
        confidence, best = torch.softmax(logits, dim=-1).max(-1)
        at = int(confidence.argmax())
        if int(best[at]) != tokens[masked[at]]:
            return False
        del masked[at]
    return True


def masked_likelihood(
    prompt: Sequence[int], tokens: Sequence[int], samples: int, rng: random.Random, head: Head, model: str = "mdlm"
) -> Decoding:
    """Score `tokens` after `prompt` with all of them on one canvas; see `scored`."""

    def ask(masked: list[int]) -> Prediction:
        canvas = [*prompt, *_with_masks(tokens, masked, head.mask_id)]
        return predict(model, canvas, [len(prompt) + i for i in masked], head)

    value = yield from log_likelihood(ask, tokens, samples, rng)
    return scored(tokens, value, (yield from is_greedy(ask, tokens)))


def block_likelihood(
    prompt: Sequence[int],
    tokens: Sequence[int],
    config: BlockDiffusionConfig,
    samples: int,
    rng: random.Random,
    head: Head,
    model: str = "bd3lm",
) -> Decoding:
    """Score `tokens` after `prompt` block by block, with `samples` for each block; see `scored`."""
    for piece, at in prompt_blocks(prompt, config):
        before = yield Feed(model, piece, at, full=True)
    value, greedy = 0.0, True
    size = config.block_length or len(tokens)
    for begin in range(0, len(tokens), size):
        block = tokens[begin : begin + size]
        ask = _block_asker(model, block, head, len(prompt) + begin, before)
        value += yield from log_likelihood(ask, block, samples, rng)
        greedy = greedy and (yield from is_greedy(ask, block))
        if begin + size < len(tokens):
            before = yield Feed(model, block, len(prompt) + begin, full=True)
    return scored(tokens, value, greedy)


def _block_asker(model: str, block: Sequence[int], head: Head, at: int, before: torch.Tensor) -> Ask:
    return lambda masked: predict(model, _with_masks(block, masked, head.mask_id), masked, head, at, before)


def _with_masks(tokens: Sequence[int], masked: list[int], mask_id: int) -> list[int]:
    out = list(tokens)
    for i in masked:
        out[i] = mask_id
    return out


def _masked_log_prob(ask: Ask, tokens: Sequence[int], masked: list[int]) -> Bound:
    logits = yield from ask(masked)
    log_p = torch.log_softmax(logits.double(), dim=-1)
    return float(log_p[range(len(masked)), [tokens[i] for i in masked]].sum())


def scored(tokens: Sequence[int], value: float, greedy: bool) -> Generation:
    """Return a generation that carries ``extra["log_likelihood"]`` in nats and ``extra["is_greedy"]``."""
    return Generation(list(tokens), [], "length", extra={"log_likelihood": value, "is_greedy": greedy})
