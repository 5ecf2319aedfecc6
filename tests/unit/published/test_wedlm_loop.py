"""WeDLM's streaming parallel decoding (arXiv 2512.22737, algorithm 1), every forward made anew without a cache."""

import itertools

import pytest
import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, wedlm
from tests.unit.published.plainly import PROMPTS, forward, ours, tiny, up_to

WINDOW, LENGTH = 8, 40


def streaming(one, prompt, tau: float, distance: float, length: int) -> tuple[list[int], int]:
    """Return the ids of a text, and how many forwards fed a window, the last one included.

    Filled tokens are fed before masks, each at its own position; a token sees those fed before it. What is filled next
    to the text becomes text when it has been fed. The engine reads its prompt by a forward of its own, not counted.
    """
    text, window, forwards = list(prompt), [None] * WINDOW, 0
    while len(text) - len(prompt) < length and one.eos not in text[len(prompt) :]:
        ready = list(itertools.takewhile(lambda token: token is not None, window))
        window += [None] * len(ready)
        order = [i for i, token in enumerate(window) if token is not None]
        masks = [i for i, token in enumerate(window) if token is None]
        fed = [*text, *(window[i] for i in order), *[one.mask] * len(masks)]
        positions = [*range(len(text)), *(len(text) + i for i in [*order, *masks])]
        logits = forward(one.model, fed, torch.ones(len(fed), len(fed), dtype=torch.bool).tril(), positions)
        forwards += 1
        text += ready
        p = torch.softmax(logits[-len(masks) :], -1)
        entropy = -(p * p.clamp_min(1e-30).log()).sum(-1)
        adjusted = [float(h) + distance * (i - masks[0]) for h, i in zip(entropy, masks, strict=True)]
        chosen = [j for j, a in enumerate(adjusted) if a < tau] or [adjusted.index(min(adjusted))]
        for j in chosen:
            window[masks[j]] = int(p[j].argmax())
        window = window[len(ready) :]
    return up_to(text[len(prompt) :], one.eos)[:length], forwards


def texts(tau: float, distance: float, length: int = LENGTH, prompts: int = PROMPTS):
    one, config = tiny("tiny-wedlm"), WeDLMConfig(window=WINDOW, tau=tau, distance=distance)

    def start(i, prompt, stop):
        return wedlm(prompt, "m", one.mask, config, Sampling(), stop, stream(i))

    one = one._replace(prompts=one.prompts[:prompts])
    return one, ours(one, start, length)


def test_token_for_token():
    """The engine's window reaches beyond the limit, ours does not: compared is what no such mask can have changed."""
    one, finished = texts(0.4, 0.02)
    for prompt, text in zip(one.prompts, finished, strict=True):
        tokens, _ = streaming(one, prompt, 0.4, 0.02, LENGTH - WINDOW)
        assert text.generation.tokens[: LENGTH - WINDOW] == tokens


@pytest.mark.parametrize("tau", [0.05, 0.4, 1.6])
@pytest.mark.parametrize("distance", [0.0, 0.02, 0.1])
def test_tokens_per_forward_are_the_engines(tau, distance):
    """Of whole texts: it leaves out its prefill and last forward; ours has no prefill of its own, and no such last."""
    one, finished = texts(tau, distance, length=200, prompts=2)
    for prompt, text in zip(one.prompts, finished, strict=True):
        assert text.generation.finish == "eos"
        tokens, forwards = streaming(one, prompt, tau, distance, 200)
        assert text.generation.tokens == tokens
        assert text.cost["m"].forwards == forwards - 1
