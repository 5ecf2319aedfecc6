"""Plain autoregressive sampling."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lmx_models.core.base import Decoding, Feed, Generation, Segment
from lmx_models.core.sampling import Sampling, sample
from lmx_models.core.stopping import Stopping


def autoregressive(
    prompt: Sequence[int],
    model: str,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
    source: str = "ar",
) -> Decoding:
    """Write one token at a time with `model` until a stop condition holds.

    Args:
        prompt: ids of the prompt, at least one.
        rng: the sequence's own stream of random numbers; not touched at temperature 0.
        source: name of the segment in the trace.
    """
    tokens: list[int] = []
    logits = yield Feed(model, prompt)
    while True:
        tokens.append(sample(logits[-1], sampling, rng))
        stopping.record(len(tokens) - 1, logits[-1], tokens[-1])
        if finish := stopping.check(tokens):
            return Generation(tokens, [Segment(source, 0, len(tokens))], finish)
        logits = yield Feed(model, tokens[-1:])
