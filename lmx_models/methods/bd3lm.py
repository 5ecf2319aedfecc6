"""``--model bd3lm``: block diffusion with a cache of finished blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lmx_models.core.base import Decoding
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, block_diffusion
from lmx_models.decoding.diffusion.elbo import block_likelihood
from lmx_models.methods.diffusion import DiffusionLM
from lmx_models.methods.masks import MaskAndShift, head_of, sees_all
from lmx_models.methods.method import BOUND, Method
from lmx_models.methods.weights import Weights
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.zoo import families


def _start(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    config: BlockDiffusionConfig = build(BlockDiffusionConfig, request.values)
    head, rng = head_of(weights["bd3lm"], request.values), request.rng("sample")
    return block_diffusion(request.prompt, config, request.sampling, request.stopping, rng, head, "bd3lm")


BD3LM = Method(
    "bd3lm",
    _start,
    settings=(BlockDiffusionConfig,),
    run_settings=(MaskAndShift,),
    models={"bd3lm": "tiny-bd3lm"},
    likelihood=BOUND,
    of_model=("prefill", "block_length"),
    defaults=lambda writer: families.block_defaults(writer.model.config, writer.family),
    fit=sees_all,
)


class BlockDiffusionLM(DiffusionLM):
    """Block diffusion; see `BlockDiffusionConfig`."""

    described: ClassVar[Method] = BD3LM

    def estimate(self, context: list[int], continuation: list[int]) -> Decoding:
        """Return the decoder that scores a text."""
        config: BlockDiffusionConfig = build(BlockDiffusionConfig, self.settings)
        rng = self.text_stream(context, continuation)
        return block_likelihood(context, continuation, config, self.likelihood.mc_samples, rng, self.head)

    def likelihood_settings(self) -> dict[str, Any]:
        """Return which likelihood it is, and all that it depends on besides the model."""
        config: BlockDiffusionConfig = build(BlockDiffusionConfig, self.settings)
        blocks = {"block_length": config.block_length, "prefill": config.prefill}
        return {**super().likelihood_settings(), **blocks}
