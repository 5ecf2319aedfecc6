"""Masked diffusion: the answer is a canvas of masks, and each forward fills the most confident of them.

The sampler of LLaDA (arXiv 2502.09992, section 2.4 and algorithm 5) and of dLLM's ``mdlm`` models; with shifted logits
and settings of `UnmaskingConfig` also Dream's (2508.15487), but for its ``origin`` and the temperature over masks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lmx_models.core.base import Decoding
from lmx_models.core.sampling import Sampling
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.diffusion.denoising import (
    Head,
    Prediction,
    UnmaskingConfig,
    denoise,
    new_answer,
    predict,
    schedule,
)


@dataclass(frozen=True)
class MaskedDiffusionConfig(UnmaskingConfig):
    """Settings of masked diffusion; see `UnmaskingConfig`. block_length None: the whole canvas is one block."""


def masked_diffusion(
    prompt: Sequence[int],
    config: MaskedDiffusionConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    head: Head,
    model: str = "mdlm",
) -> Decoding:
    """Fill a canvas of `stopping.max_tokens` masks behind `prompt`; prompt and canvas all see one another.

    Nothing can be cached, since every token's keys change with every filled mask: each forward feeds everything.

    Args:
        prompt: ids of the prompt, at least one.
        rng: the sequence's own stream of random numbers; not touched at temperature 0 (but by ``remasking=random``).
        model: name of the model to feed, and of the segment in the trace.
    """
    answer = new_answer(stopping.max_tokens)

    def ask(masked: list[int]) -> Prediction:
        canvas = [*prompt, *answer.ids(head.mask_id)]
        return predict(model, canvas, [len(prompt) + i for i in masked], head)

    for block, counts in schedule(stopping.max_tokens, config):
        finish = yield from denoise(answer, block, counts, ask, config, sampling, stopping, rng)
        if finish:
            return answer.generation(model, finish)
    raise AssertionError("a full canvas reaches the limit")
