"""``--model ar``: plain autoregressive decoding with continuous batching; the baseline of every method."""

from __future__ import annotations

from typing import ClassVar

from lmx_models.core.base import Decoding
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.harness.decoder_lm import DecoderLM
from lmx_models.settings.requests import Request


class AutoregressiveLM(DecoderLM):
    """Same tokens as lm_eval's ``hf`` at temperature 0 in fp32, with a trace of every text."""

    method: ClassVar[str] = "ar"

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        return autoregressive(request.prompt, "ar", request.sampling, request.stopping, request.rng("sample"))
