"""``--model mdlm`` and ``--model bd3lm``: masked and block diffusion with models of bidirectional attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from lmx_files.errors import UserError
from lmx_models.core.base import Decoding
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, block_diffusion
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.elbo import block_likelihood, masked_likelihood
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from lmx_models.engine.step_model import StepModel
from lmx_models.harness.likelihoods import LikelihoodConfig, MaskLikelihoods
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.zoo import families, family_table


@dataclasses.dataclass(frozen=True)
class DiffusionRun:
    """Settings of a whole run, which a request cannot change.

    Attributes:
        mask_id: id of the mask token; None: the one that the model's files name.
        shift: whether a row of logits speaks of the next position; None: as in the model's family, else not.
    """

    mask_id: int | None = None
    shift: bool | None = None


class DiffusionLM(MaskLikelihoods):
    """What masked and block diffusion have in common.

    Args:
        pretrained: a model trained to fill masks under bidirectional attention (see `DecoderLM` and
            `lmx_models.zoo.families`).
        **kwargs: fields of the method's config, `Sampling`, `LikelihoodConfig` (only ``ll=mc``) and `DiffusionRun`, and
            arguments of ``hf``.
    """

    own_arguments: ClassVar[tuple[str, ...]] = ("ll", "mc_samples", "mask_id", "shift")
    declared: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ll", "mc_samples"), "by `likelihood_settings`"),
        **dict.fromkeys(("mask_id", "shift"), "by `identity`, as they came out"),
    }

    def __init__(self, pretrained: Any, **kwargs: Any) -> None:
        self.likelihood = build(LikelihoodConfig, {"ll": "mc", **kwargs})
        if self.likelihood.ll != "mc":
            raise UserError(
                f"ll={self.likelihood.ll} is not defined for --model {self.method}: under bidirectional attention "
                "there is only a bound, ll=mc"
            )
        run: DiffusionRun = build(DiffusionRun, kwargs)
        super().__init__(pretrained=pretrained, **kwargs)
        refuse_other_attention(self.model.config, self.family, self.method)
        shifted = self.family is not None and self.family.shifted if run.shift is None else run.shift
        self.head = Head(families.mask_id(self.model, self.tokenizer, run.mask_id, self.family), shifted)
        self.mask_id = self.head.mask_id
        self.warn_of_training(run.mask_id)

    def step_models(self, rows: int, slots: int) -> dict[str, StepModel]:
        """Return the one model, under the method's name."""
        return {self.method: StepModel(self.model, rows, slots)}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the layout of the head."""
        return {**super().describe(), **self._layout()}

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: the layout of the head too."""
        return {**super().identity(values), **self._layout()}

    def likelihood_settings(self) -> dict[str, Any]:
        """Return which likelihood it is, and all that it depends on besides the model."""
        return {**super().likelihood_settings(), **self._layout()}

    def _layout(self) -> dict[str, Any]:
        return {"mask_id": self.head.mask_id, "shift": self.head.shifted}


class MaskedDiffusionLM(DiffusionLM):
    """Masked diffusion over a canvas of ``max_gen_toks`` masks; see `MaskedDiffusionConfig`."""

    method: ClassVar[str] = "mdlm"
    configs: ClassVar[tuple[type, ...]] = (MaskedDiffusionConfig,)

    def __init__(self, pretrained: Any = "tiny-mdlm", **kwargs: Any) -> None:
        super().__init__(pretrained, **kwargs)
        self.settings = {**families.trained_block(self.model.config), **self.settings}

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        config: MaskedDiffusionConfig = build(MaskedDiffusionConfig, request.values)
        rng = request.rng("sample")
        return masked_diffusion(request.prompt, config, request.sampling, request.stopping, rng, self.head)

    def estimate(self, context: list[int], continuation: list[int]) -> Decoding:
        """Return the decoder that scores a text."""
        rng = self.text_stream(context, continuation)
        return masked_likelihood(context, continuation, self.likelihood.mc_samples, rng, self.head)


class BlockDiffusionLM(DiffusionLM):
    """Block diffusion with a cache of finished blocks; see `BlockDiffusionConfig`."""

    method: ClassVar[str] = "bd3lm"
    configs: ClassVar[tuple[type, ...]] = (BlockDiffusionConfig,)

    def __init__(self, pretrained: Any = "tiny-bd3lm", **kwargs: Any) -> None:
        super().__init__(pretrained, **kwargs)
        self.settings = {**families.block_defaults(self.model.config, self.family), **self.settings}

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        config: BlockDiffusionConfig = build(BlockDiffusionConfig, request.values)
        rng = request.rng("sample")
        return block_diffusion(request.prompt, config, request.sampling, request.stopping, rng, self.head)

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


def refuse_other_attention(config: Any, family: family_table.Family | None, method: str) -> None:
    """Refuse models whose tokens cannot all see one another."""
    if family is not None and family.causal:
        raise UserError(f"{family.name} models fill masks under causal attention: use --model wedlm, not {method}")
    window = getattr(config, "sliding_window", None)
    if window and "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"]):
        raise UserError(
            f"--model {method} needs full attention, and layers of this model see only {window} tokens back: name a "
            "model that was trained to fill masks"
        )
