"""LLaDA (arXiv 2502.09992, appendix, algorithms 4 and 5): `generate` with low-confidence remasking, block by block."""

import pytest
import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from tests.unit.published.plainly import everything, forward, ours, tiny, tokens_of, up_to

LENGTH = 24


def llada(one, prompt, steps: int, block: int) -> list[int]:
    """Fill the whole canvas; the mask's own logit is left as it is."""
    canvas = torch.tensor([*prompt, *[one.mask] * LENGTH])
    blocks = LENGTH // block
    for begin in range(len(prompt), len(canvas), block):
        share, more = divmod(block, steps // blocks)
        for step in range(steps // blocks):
            logits = forward(one.model, canvas.tolist(), everything(len(canvas)))
            guess = logits.argmax(-1)
            confidence = torch.softmax(logits.double(), -1).gather(1, guess[:, None])[:, 0]
            confidence[canvas != one.mask] = -torch.inf
            confidence[begin + block :] = -torch.inf
            best = confidence.topk(share + (step < more)).indices
            canvas[best] = guess[best]
    return canvas[len(prompt) :].tolist()


@pytest.mark.parametrize(("steps", "block"), [(12, 8), (15, 8), (8, 24)])
def test_token_for_token(steps, block):
    one = tiny("tiny-mdlm")
    config = MaskedDiffusionConfig(steps=steps, block_length=block)

    def start(i, prompt, stop):
        return masked_diffusion(prompt, config, Sampling(), stop, stream(i), Head(one.mask), "m")

    published = [up_to(llada(one, prompt, steps, block), one.eos) for prompt in one.prompts]
    assert tokens_of(ours(one, start, LENGTH)) == published
