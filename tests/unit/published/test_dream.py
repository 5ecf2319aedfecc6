"""Dream's sampler (arXiv 2508.15487, code as of its first release): logits shifted by one, its times and confidences.

`origin` and a temperature over the masks (`alg_temp`) are not offered by lmx, so not compared.
"""

import pytest
import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.denoising import Head, schedule
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from tests.unit.published.plainly import everything, forward, ours, tiny, tokens_of, up_to

LENGTH, STEPS = 24, 10
OURS = {"maskgit_plus": "low_confidence", "topk_margin": "topk_margin", "entropy": "entropy"}


def confidences(logits: torch.Tensor, algorithm: str) -> torch.Tensor:
    """Return the confidence of each row's most probable token."""
    p = torch.softmax(logits, -1)
    if algorithm == "topk_margin":
        ranked = p.sort(-1, descending=True).values
        return ranked[:, 0] - ranked[:, 1]
    if algorithm == "entropy":
        return (p * torch.log(p + 1e-10)).sum(-1)
    return p.max(-1).values


def dream(one, prompt, algorithm: str, even: bool) -> list[int]:
    """Fill a canvas. even: an equal number of masks in each step, in place of the schedule of times."""
    canvas = torch.tensor([*prompt, *[one.mask] * LENGTH])
    times = torch.linspace(1, 1e-3, STEPS + 1)
    for i in range(STEPS):
        masked = (canvas == one.mask).nonzero()[:, 0]
        logits = forward(one.model, canvas.tolist(), everything(len(canvas)))
        logits = torch.cat([logits[:1], logits[:-1]])[masked]
        count = len(masked) if i == STEPS - 1 else int(len(masked) * (1 - times[i + 1] / times[i]))
        if even:
            count = LENGTH // STEPS + (i < LENGTH % STEPS)
        best = confidences(logits, algorithm).topk(count).indices
        canvas[masked[best]] = logits.argmax(-1)[best]
    return canvas[len(prompt) :].tolist()


@pytest.mark.parametrize(
    ("algorithm", "even"),
    [("maskgit_plus", True), ("maskgit_plus", False), ("topk_margin", False), ("entropy", False)],
)
def test_token_for_token(algorithm, even):
    one = tiny("tiny-mdlm")
    how = {"remasking": OURS[algorithm], "schedule": "even" if even else "dream"}
    config = MaskedDiffusionConfig(steps=STEPS, block_length=None, **how)

    def start(i, prompt, stop):
        return masked_diffusion(prompt, config, Sampling(), stop, stream(i), Head(one.mask, shifted=True), "m")

    published = [up_to(dream(one, prompt, algorithm, even), one.eos) for prompt in one.prompts]
    assert tokens_of(ours(one, start, LENGTH)) == published


def test_its_times_are_not_even():
    def counts(**how) -> list[int]:
        ((_, filled),) = schedule(LENGTH, MaskedDiffusionConfig(steps=12, **how))
        return filled

    assert counts() == [2] * 12
    assert counts(schedule="dream") != [2] * 12
    assert sum(counts(schedule="dream")) == LENGTH
