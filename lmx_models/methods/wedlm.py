"""``--model wedlm``: a window of masks behind the text is filled by confidence, over a causal cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from lmx_models.core.base import Decoding
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, refuse_sampled_verification, wedlm
from lmx_models.decoding.diffusion.wedlm_likelihood import wedlm_likelihood
from lmx_models.harness.likelihoods import LikelihoodConfig, MaskLikelihoods
from lmx_models.methods.masks import Mask, has_mask, mask_of
from lmx_models.methods.method import Method
from lmx_models.methods.model import MethodLM
from lmx_models.methods.weights import Weights
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request, sampling_of
from lmx_models.zoo import families

log = logging.getLogger(__name__)


def _start(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    mask, config = mask_of(weights["wedlm"], request.values), build(WeDLMConfig, request.values)
    return wedlm(request.prompt, "wedlm", mask, config, request.sampling, request.stopping, request.rng("sample"))


def _greedy_if_verified(values: Mapping[str, Any]) -> None:
    refuse_sampled_verification(build(WeDLMConfig, values), sampling_of(values))


WEDLM = Method(
    "wedlm",
    _start,
    settings=(WeDLMConfig,),
    run_settings=(Mask,),
    models={"wedlm": "tiny-wedlm"},
    names={"lambda": "distance"},
    of_model=("window",),
    defaults=lambda writer: families.trained_window(writer.model.config),
    check=_greedy_if_verified,
    fit=has_mask,
    flash=True,
)


class WeDLM(MaskLikelihoods, MethodLM):
    """WeDLM's streaming parallel decoding.

    Args:
        pretrained: a model trained to fill masks under causal attention (see `DecoderLM`); ``tencent/WeDLM-*`` are.
        **kwargs: fields of `WeDLMConfig` (with ``lambda`` for `distance`), `Sampling`, `LikelihoodConfig`, `Mask` and
            `AttentionConfig`, and arguments of ``hf``.
    """

    described: ClassVar[Method] = WEDLM
    own_arguments: ClassVar[tuple[str, ...]] = ("ll", "mc_samples")
    declared: ClassVar[Mapping[str, str]] = dict.fromkeys(("ll", "mc_samples"), "by `likelihood_settings`")

    def __init__(self, pretrained: Any = None, **kwargs: Any) -> None:
        self.likelihood = build(LikelihoodConfig, kwargs)
        super().__init__(pretrained=pretrained, **kwargs)
        self._warn_of_wide_window()
        asked = self.run_values["mask_id"]
        self.mask_id = mask_of(self.weights["wedlm"], self.run_values)
        self.run_values |= {"mask_id": self.mask_id}  # told as it came out
        self.warn_of_training(asked)

    def _warn_of_wide_window(self) -> None:
        trained, window = self.described.of(self.weights["wedlm"]), build(WeDLMConfig, self.settings).window
        if trained and window > trained["window"]:
            doubt = (
                f"window={window}: {self._asked_name} was trained to fill {trained['window']} places "
                "behind the text (block_length in its config.json), and fills those further on at random"
            )
            self.notes.append(doubt)
            log.warning(doubt)

    def estimate(self, context: list[int], continuation: list[int]) -> Decoding:
        """Return the decoder that scores a text for ``ll=mc``."""
        rng = self.text_stream(context, continuation)
        return wedlm_likelihood(context, continuation, self.likelihood.mc_samples, rng, self.mask_id)
