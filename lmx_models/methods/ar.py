"""``--model ar``: plain autoregressive decoding with continuous batching; the baseline of every method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lmx_models.core.base import Decoding
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.methods.method import Method
from lmx_models.methods.model import MethodLM
from lmx_models.methods.weights import Weights
from lmx_models.settings.requests import Request


def _start(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    return autoregressive(request.prompt, "ar", request.sampling, request.stopping, request.rng("sample"))


AR = Method("ar", _start)


class AutoregressiveLM(MethodLM):
    """Same tokens as lm_eval's ``hf`` at temperature 0 in fp32, with a trace of every text."""

    described: ClassVar[Method] = AR
