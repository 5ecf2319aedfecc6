"""``--model my_decoder``: the decoder as a model of lm_eval."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from lmx_models.core.base import Decoding
from lmx_models.harness.decoder_lm import DecoderLM
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request

from .decoding import MyDecoderConfig, best_of_n


class MyDecoderLM(DecoderLM):
    """Blockwise best of n.

    `DecoderLM` does the rest: loading, batching, likelihoods, traces, statistics.

    Args:
        **kwargs: fields of `MyDecoderConfig` and `Sampling`, and arguments of lm_eval's ``hf``.
    """

    method: ClassVar[str] = "my_decoder"
    configs: ClassVar[tuple[type, ...]] = (MyDecoderConfig,)

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        config: MyDecoderConfig = build(MyDecoderConfig, request.values)
        sampling = dataclasses.replace(request.sampling, temperature=config.draft_temperature)
        return best_of_n(request.prompt, config, sampling, request.stopping, request.rng("draft"))
