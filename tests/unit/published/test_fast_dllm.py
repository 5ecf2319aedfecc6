"""Fast-dLLM (arXiv 2505.22618, algorithm 1): confidence-aware parallel decoding by a threshold, without its cache."""

import pytest
import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from tests.unit.published.plainly import everything, forward, ours, tiny, tokens_of, up_to

LENGTH, BLOCK = 32, 8


def fast_dllm(one, prompt, threshold: float) -> list[int]:
    """In each forward unmask all of the block that reach the threshold, and the surest in any case."""
    canvas = torch.tensor([*prompt, *[one.mask] * LENGTH])
    for begin in range(len(prompt), len(canvas), BLOCK):
        while (open_ := [i for i in range(begin, begin + BLOCK) if canvas[i] == one.mask]) != []:
            logits = forward(one.model, canvas.tolist(), everything(len(canvas)))[open_]
            confidence, guess = torch.softmax(logits.double(), -1).max(-1)
            chosen = confidence >= threshold
            chosen[confidence.argmax()] = True
            canvas[torch.tensor(open_)[chosen]] = guess[chosen]
    return canvas[len(prompt) :].tolist()


@pytest.mark.parametrize("threshold", [0.9, 0.5])
def test_token_for_token(threshold):
    one = tiny("tiny-mdlm")
    config = MaskedDiffusionConfig(threshold=threshold, block_length=BLOCK)

    def start(i, prompt, stop):
        return masked_diffusion(prompt, config, Sampling(), stop, stream(i), Head(one.mask), "m")

    published = [up_to(fast_dllm(one, prompt, threshold), one.eos) for prompt in one.prompts]
    assert tokens_of(ours(one, start, LENGTH)) == published
