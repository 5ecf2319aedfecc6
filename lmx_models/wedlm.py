"""``--model wedlm``: a window of masks behind the text is filled by confidence, over a causal cache."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from lmx_files.errors import unknown
from lmx_models.core.base import Decoding
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, field_names, refuse_sampled_verification, wedlm
from lmx_models.decoding.diffusion.wedlm_likelihood import wedlm_likelihood
from lmx_models.engine import flash_attention
from lmx_models.engine.slot_attention import attend_by
from lmx_models.engine.step_model import StepModel
from lmx_models.harness.likelihoods import LikelihoodConfig, MaskLikelihoods
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.zoo import families

log = logging.getLogger(__name__)

DEFAULT_MODEL = "tiny-wedlm"


@dataclasses.dataclass(frozen=True)
class WeDLMRun:
    """Settings of a whole run, which a request cannot change.

    Attributes:
        mask_id: id of the mask token; None: the one that the model's files name.
        attn: ``sdpa`` (PyTorch's kernels), ``flash`` (the package flash-attn; CUDA, 16 bits), or ``auto``.
    """

    mask_id: int | None = None
    attn: str = "auto"

    def __post_init__(self) -> None:
        if self.attn not in flash_attention.CHOICES:
            raise unknown("attn", self.attn, flash_attention.CHOICES)


class WeDLM(MaskLikelihoods):
    """WeDLM's streaming parallel decoding.

    Args:
        pretrained: a model trained to fill masks under causal attention (see `DecoderLM`); ``tencent/WeDLM-*`` are.
        **kwargs: fields of `WeDLMConfig` (with ``lambda`` for `distance`), `Sampling`, `LikelihoodConfig` and
            `WeDLMRun`, and arguments of ``hf``.
    """

    method: ClassVar[str] = "wedlm"
    configs: ClassVar[tuple[type, ...]] = (WeDLMConfig,)
    own_arguments: ClassVar[tuple[str, ...]] = ("lambda", "ll", "mc_samples", "mask_id", "attn")
    declared: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ll", "mc_samples"), "by `likelihood_settings`"),
        **dict.fromkeys(("mask_id", "attn"), "by `identity`, as they came out"),
    }

    def __init__(self, pretrained: Any = DEFAULT_MODEL, **kwargs: Any) -> None:
        self.likelihood = build(LikelihoodConfig, kwargs)
        run: WeDLMRun = build(WeDLMRun, kwargs)
        super().__init__(pretrained=pretrained, **field_names(kwargs))
        self._take_window(families.trained_window(self.model.config))
        self.mask_id = families.mask_id(self.model, self.tokenizer, run.mask_id, self.family)
        self.attn = flash_attention.choose(run.attn, self.device, self.model.dtype)
        self.warn_of_training(run.mask_id)

    def _take_window(self, trained: dict[str, Any]) -> None:
        """Use the window of the training unless the user gave one; warn of a wider one."""
        self.settings = {**trained, **self.settings}
        window = build(WeDLMConfig, self.settings).window
        if trained and window > trained["window"]:
            doubt = (
                f"window={window}: {self._asked_name} was trained to fill {trained['window']} places "
                "behind the text (block_length in its config.json), and fills those further on at random"
            )
            self.notes.append(doubt)
            log.warning(doubt)

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        return wedlm(
            request.prompt,
            "wedlm",
            self.mask_id,
            build(WeDLMConfig, request.values),
            request.sampling,
            request.stopping,
            request.rng("sample"),
        )

    def estimate(self, context: list[int], continuation: list[int]) -> Decoding:
        """Return the decoder that scores a text for ``ll=mc``."""
        rng = self.text_stream(context, continuation)
        return wedlm_likelihood(context, continuation, self.likelihood.mc_samples, rng, self.mask_id)

    def step_models(self, rows: int, slots: int) -> dict[str, StepModel]:
        """Return the one model, with the attention that was chosen."""
        step = StepModel(self.model, rows, slots)
        if self.attn == "flash":
            attend_by(step.cache, flash_attention.rows_varlen)
        return {"wedlm": step}

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: the mask token and the attention too."""
        return {**super().identity(values), "mask_id": self.mask_id, "attn": self.attn}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the mask token and the attention in use."""
        return {**super().describe(), "mask_id": self.mask_id, "attn": self.attn}

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings under the names that users give them."""
        return {"lambda" if name == "distance" else name: value for name, value in super().plain(values).items()}

    def _configs(self, values: Mapping[str, Any]) -> list[Any]:
        sampling, config = super()._configs(values)
        refuse_sampled_verification(config, sampling)
        return [sampling, config]

    def generation_fields(self, gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return generation arguments under the names of `WeDLMConfig`."""
        return field_names(gen_kwargs)
