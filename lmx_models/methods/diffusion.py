"""What ``--model mdlm`` and ``--model bd3lm`` have in common: models of bidirectional attention that fill masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lmx_files.errors import UserError
from lmx_models.harness.likelihoods import LikelihoodConfig, MaskLikelihoods
from lmx_models.methods.masks import head_of
from lmx_models.methods.model import MethodLM
from lmx_models.settings.arguments import build


class DiffusionLM(MaskLikelihoods, MethodLM):
    """What masked and block diffusion have in common.

    Args:
        pretrained: a model trained to fill masks under bidirectional attention (see `DecoderLM` and
            `lmx_models.zoo.families`).
        **kwargs: fields of the method's config, `Sampling`, `LikelihoodConfig` (only ``ll=mc``) and `MaskAndShift`, and
            arguments of ``hf``.
    """

    own_arguments: ClassVar[tuple[str, ...]] = ("ll", "mc_samples")
    declared: ClassVar[Mapping[str, str]] = dict.fromkeys(("ll", "mc_samples"), "by `likelihood_settings`")

    def __init__(self, pretrained: Any = None, **kwargs: Any) -> None:
        self.likelihood = build(LikelihoodConfig, {"ll": "mc", **kwargs})
        if self.likelihood.ll != "mc":
            raise UserError(
                f"ll={self.likelihood.ll} is not defined for --model {self.method}: under bidirectional attention "
                "there is only a bound, ll=mc"
            )
        super().__init__(pretrained=pretrained, **kwargs)
        asked = self.run_values["mask_id"]
        self.head = head_of(self.weights[self.method], self.run_values)
        self.mask_id = self.head.mask_id
        self.run_values |= {"mask_id": self.head.mask_id, "shift": self.head.shifted}  # told as they came out
        self.warn_of_training(asked)

    def likelihood_settings(self) -> dict[str, Any]:
        """Return which likelihood it is, and all that it depends on besides the model."""
        return {**super().likelihood_settings(), **self.run_values}
