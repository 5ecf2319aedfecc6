"""``--model mdlm``: masked diffusion over a canvas of ``max_gen_toks`` masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lmx_models.core.base import Decoding
from lmx_models.decoding.diffusion.elbo import masked_likelihood
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from lmx_models.methods.diffusion import DiffusionLM
from lmx_models.methods.masks import MaskAndShift, head_of, sees_all
from lmx_models.methods.method import BOUND, Method
from lmx_models.methods.weights import Weights
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.zoo import families


def _start(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    config: MaskedDiffusionConfig = build(MaskedDiffusionConfig, request.values)
    head, rng = head_of(weights["mdlm"], request.values), request.rng("sample")
    return masked_diffusion(request.prompt, config, request.sampling, request.stopping, rng, head, "mdlm")


MDLM = Method(
    "mdlm",
    _start,
    settings=(MaskedDiffusionConfig,),
    run_settings=(MaskAndShift,),
    models={"mdlm": "tiny-mdlm"},
    likelihood=BOUND,
    defaults=lambda writer: families.trained_block(writer.model.config),
    fit=sees_all,
)


class MaskedDiffusionLM(DiffusionLM):
    """Masked diffusion; see `MaskedDiffusionConfig`."""

    described: ClassVar[Method] = MDLM

    def estimate(self, context: list[int], continuation: list[int]) -> Decoding:
        """Return the decoder that scores a text."""
        rng = self.text_stream(context, continuation)
        return masked_likelihood(context, continuation, self.likelihood.mc_samples, rng, self.head)
