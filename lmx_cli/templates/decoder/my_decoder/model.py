"""``--model my_decoder``: the decoder as a model of lm_eval, and as a stage of others."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from lmx_models.api import Decoding, Method, MethodLM, Request, build

from .decoding import MODEL, MyDecoderConfig, best_of_n


def start(request: Request, weights: object) -> Decoding:
    """Return the decoder of one text."""
    config: MyDecoderConfig = build(MyDecoderConfig, request.values)
    sampling = dataclasses.replace(request.sampling, temperature=config.draft_temperature)
    return best_of_n(request.prompt, config, sampling, request.stopping, request.rng("draft"))


METHOD = Method(MODEL, start, settings=(MyDecoderConfig,))


class MyDecoderLM(MethodLM):
    """Blockwise best of n.

    `MethodLM` does the rest: loading, batching, likelihoods, traces, statistics.

    Args:
        **kwargs: fields of `MyDecoderConfig` and `Sampling`, and arguments of lm_eval's ``hf``.
    """

    described: ClassVar[Method] = METHOD
