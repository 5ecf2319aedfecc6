"""Block diffusion: blocks from left to right, each filled by masked diffusion, finished ones cached.

BD3-LM (Arriola et al. 2025, arXiv 2503.09573, section 3 and algorithm 2).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Decoding, Feed
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

PREFILLS = ("blocks", "whole")


@dataclass(frozen=True)
class BlockDiffusionConfig(UnmaskingConfig):
    """Settings of block diffusion; see `UnmaskingConfig`.

    Attributes:
        block_length: tokens of a block, counted from the end of the prompt.
        prefill: how the prompt is read: as one block (``whole``), or cut into ``blocks`` counted from its end, the
            first one shorter, as dLLM's sampler does. What suits a model is what it was trained with.
    """

    block_length: int | None = 32
    prefill: str = "whole"

    def __post_init__(self) -> None:
        UnmaskingConfig.__post_init__(self)
        if self.block_length is None:
            raise UserError("block_length=None: block diffusion needs a whole number, as 32")
        if self.prefill not in PREFILLS:
            raise unknown("prefill", self.prefill, PREFILLS)


def prompt_blocks(prompt: Sequence[int], config: BlockDiffusionConfig) -> list[tuple[Sequence[int], int]]:
    """Return the pieces of a prompt whose tokens see one another, and all before them, with where each begins."""
    size = config.block_length if config.prefill == "blocks" and config.block_length else len(prompt)
    borders = [0, *range(len(prompt) % size or size, len(prompt) + 1, size)]
    return [(prompt[begin:end], begin) for begin, end in itertools.pairwise(borders)]


def block_diffusion(
    prompt: Sequence[int],
    config: BlockDiffusionConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    head: Head,
    model: str = "bd3lm",
) -> Decoding:
    """Write block after block until a stop condition holds; a block sees itself and all that is before it.

    A forward feeds one block only. A finished block is fed once more, since its keys were made while it had masks.

    Args:
        prompt: ids of the prompt, at least one.
        rng: the sequence's own stream of random numbers; not touched at temperature 0 (but by ``remasking=random``).
        model: name of the model to feed, and of the segment in the trace.
    """
    answer = new_answer(stopping.max_tokens)
    for piece, at in prompt_blocks(prompt, config):
        before = yield Feed(model, piece, at, full=True)
    begin = end = 0

    def ask(masked: list[int]) -> Prediction:
        wanted = [i - begin for i in masked]
        return predict(model, answer.ids(head.mask_id)[begin:end], wanted, head, len(prompt) + begin, before)

    for (begin, end), counts in schedule(stopping.max_tokens, config):
        finish = yield from denoise(answer, (begin, end), counts, ask, config, sampling, stopping, rng)
        if finish:
            return answer.generation(model, finish)
        before = yield Feed(model, answer.ids(head.mask_id)[begin:end], len(prompt) + begin, full=True)
    raise AssertionError("a full canvas reaches the limit")
