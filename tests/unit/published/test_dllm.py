"""dLLM's two samplers: MDLM (a canvas filled block by block) and BD3LM (blocks appended, block-causal attention).

Both take the share of a block's masks that a linear noise schedule frees between two times, rounded.
"""

import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, block_diffusion
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from tests.unit.published.plainly import everything, forward, ours, tiny, tokens_of, up_to

LENGTH, BLOCK = 24, 8


def transfers(masks: int, steps: int) -> list[int]:
    """Return how many masks each step frees: of those left at time t, 1 - s/t of them by time s."""
    counts = []
    for left in range(steps, 0, -1):
        counts.append(round(masks * (1 - (left - 1) / left)))
        masks -= counts[-1]
    return counts


def free(canvas: torch.Tensor, logits: torch.Tensor, mask: int, begin: int, end: int, count: int) -> None:
    """Write the most confident guesses in ``[begin, end)`` into the canvas; `logits` are of its last positions."""
    logits = logits[begin - len(canvas) :][: end - begin]
    confidence, guess = torch.softmax(logits.double(), -1).max(-1)
    confidence[canvas[begin:end] != mask] = -torch.inf
    best = confidence.topk(count).indices
    canvas[begin + best] = guess[best]


def mdlm(one, prompt, steps: int) -> list[int]:
    """Fill a canvas of masks."""
    canvas = torch.tensor([*prompt, *[one.mask] * LENGTH])
    for begin in range(len(prompt), len(canvas), BLOCK):
        for count in transfers(BLOCK, steps * BLOCK // LENGTH):
            logits = forward(one.model, canvas.tolist(), everything(len(canvas)))
            free(canvas, logits, one.mask, begin, begin + BLOCK, count)
    return canvas[len(prompt) :].tolist()


def bd3lm(one, prompt, steps: int) -> list[int]:
    """Append blocks of masks; a token sees its own block and those before. The prompt's blocks end where it ends."""
    canvas = torch.tensor(prompt)
    for _ in range(LENGTH // BLOCK):
        begin = len(canvas)
        canvas = torch.cat([canvas, torch.full((BLOCK,), one.mask)])
        block = (torch.arange(len(canvas)) - len(prompt)) // BLOCK
        for count in transfers(BLOCK, steps * BLOCK // LENGTH):
            logits = forward(one.model, canvas.tolist(), block[:, None] >= block[None, :])
            free(canvas, logits, one.mask, begin, begin + BLOCK, count)
        if one.eos in canvas[begin:]:
            break
    return canvas[len(prompt) :].tolist()


def test_mdlm_token_for_token():
    one, config = tiny("tiny-mdlm"), MaskedDiffusionConfig(steps=12, block_length=BLOCK)

    def start(i, prompt, stop):
        return masked_diffusion(prompt, config, Sampling(), stop, stream(i), Head(one.mask), "m")

    assert tokens_of(ours(one, start, LENGTH)) == [up_to(mdlm(one, prompt, 12), one.eos) for prompt in one.prompts]


def test_bd3lm_token_for_token():
    one, config = tiny("tiny-bd3lm"), BlockDiffusionConfig(steps=12, block_length=BLOCK, prefill="blocks")

    def start(i, prompt, stop):
        return block_diffusion(prompt, config, Sampling(), stop, stream(i), Head(one.mask), "m")

    assert tokens_of(ours(one, start, LENGTH)) == [up_to(bd3lm(one, prompt, 12), one.eos) for prompt in one.prompts]


def test_where_steps_divide_a_block_its_counts_are_even():
    assert [transfers(8, steps) for steps in (8, 4, 2, 1)] == [[1] * 8, [2] * 4, [4, 4], [8]]
