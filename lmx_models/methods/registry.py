"""Decoding methods as parts of larger ones: by name, their settings and how to start them on loaded weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Decoding
from lmx_models.core.sampling import Sampling
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, block_diffusion
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, refuse_sampled_verification, wedlm
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import POLICIES, PolicyConfig
from lmx_models.diffusion import refuse_other_attention
from lmx_models.engine.self_check import check
from lmx_models.records.fingerprint import model_identity
from lmx_models.settings.arguments import build, fields_of, refuse_unknown
from lmx_models.settings.requests import Request, sampling_of
from lmx_models.zoo import families, family_table
from lmx_models.zoo.loading import end_ids, load, same_tokenizer
from lmx_models.zoo.resolved import Resolved


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded model with its tokenizer.

    Attributes:
        name: as the user wrote it. `identity`: as journals know it.
        max_length: its context in tokens.
        family: for a diffusion model that transformers does not know.
    """

    name: str
    model: Any
    tokenizer: Any
    identity: str
    max_length: int
    family: family_table.Family | None = None
    _masks: dict[int | None, int] = field(default_factory=dict)

    def mask(self, given: int | None) -> int:
        """Return the id of the mask token; looked up once, for a large vocabulary takes a while."""
        if given not in self._masks:
            self._masks[given] = families.mask_id(self.model, self.tokenizer, given, self.family)
        return self._masks[given]


Start = Callable[[Request, Mapping[str, Weights]], Decoding]


@dataclass(frozen=True)
class Method:
    """A way of decoding.

    Attributes:
        start: makes the decoder of a request, given the weights by role; the request's values are named as fields.
        roles: the names under which the decoder feeds its models; the first is the model that writes the text.
        configs: its settings, besides `Sampling`.
        likelihood: whether the exact autoregressive likelihood of its model means something.
        names: what users call a field, where that is not its name.
        of_model: settings that follow the model's family or config unless they are given.
        check: raises a `UserError` for settings that do not go together.
        fit: raises a `UserError` for loaded models that the method cannot use with these settings.
    """

    start: Start
    roles: tuple[str, ...]
    configs: tuple[type, ...] = ()
    likelihood: bool = True
    names: Mapping[str, str] = field(default_factory=dict)
    of_model: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], None] | None = None
    fit: Callable[[Mapping[str, Weights], Mapping[str, Any]], None] | None = None

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings under the names of the configs' fields."""
        return {self.names.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True)
class Mask:
    """`mask_id`: the mask token of a diffusion model; None: the one that its files name."""

    mask_id: int | None = None


@dataclass(frozen=True)
class MaskAndShift(Mask):
    """`shift`: whether a row of logits speaks of the next position; None: as in the model's family, else not."""

    shift: bool | None = None


@dataclass(frozen=True)
class BuiltInPolicy(PolicyConfig):
    """The policies of ``guided`` inside another method: those that need neither a file nor the user's code."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise unknown("policy", self.policy, POLICIES, "A policy of your own needs --model guided")
        if self.calibration:
            raise UserError("calibration= needs --model guided: give the threshold itself (threshold=NUMBER)")
        super().__post_init__()


def _ar(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    return autoregressive(request.prompt, "ar", request.sampling, request.stopping, request.rng("sample"))


def _wedlm(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    one = weights["wedlm"]
    mask = one.mask(build(Mask, request.values).mask_id)
    config = build(WeDLMConfig, {**families.trained_window(one.model.config), **request.values})
    return wedlm(request.prompt, "wedlm", mask, config, request.sampling, request.stopping, request.rng("sample"))


def _greedy_if_verified(values: Mapping[str, Any]) -> None:
    refuse_sampled_verification(build(WeDLMConfig, values), sampling_of(values))


def _mdlm(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    one = weights["mdlm"]
    values = {**families.trained_block(one.model.config), **request.values}
    config, head = build(MaskedDiffusionConfig, values), _head(one, request)
    return masked_diffusion(
        request.prompt, config, request.sampling, request.stopping, request.rng("sample"), head, "mdlm"
    )


def _bd3lm(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    one = weights["bd3lm"]
    values = {**families.block_defaults(one.model.config, one.family), **request.values}
    config, head = build(BlockDiffusionConfig, values), _head(one, request)
    return block_diffusion(
        request.prompt, config, request.sampling, request.stopping, request.rng("sample"), head, "bd3lm"
    )


def _head(weights: Weights, request: Request) -> Head:
    layout: MaskAndShift = build(MaskAndShift, request.values)
    shifted = weights.family is not None and weights.family.shifted if layout.shift is None else layout.shift
    return Head(weights.mask(layout.mask_id), shifted)


def _has_mask(weights: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
    (one,) = weights.values()
    one.mask(build(Mask, values).mask_id)


def _sees_all(weights: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
    ((role, one),) = weights.items()
    refuse_other_attention(one.model.config, one.family, role)
    _has_mask(weights, values)


def _shares_tokenizer(weights: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
    base, oracle = weights["base"], weights["oracle"]
    if not same_tokenizer(base.tokenizer, oracle.tokenizer):
        raise UserError(
            f"{base.name} and {oracle.name} have different tokenizers, which guided decoding inside another method "
            "does not bridge: name two models of one family, or use --model guided"
        )


def _guided(request: Request, weights: Mapping[str, Weights]) -> Decoding:
    policy = build(BuiltInPolicy, request.values)
    return guided(
        request.prompt,
        build(GuidedConfig, request.values),
        POLICIES[policy.policy](policy),
        request.sampling,
        request.stopping,
        request.rng("sample"),
        request.rng("policy"),
    )


METHODS: dict[str, Method] = {
    "ar": Method(_ar, ("ar",)),
    "guided": Method(_guided, ("base", "oracle"), (GuidedConfig, BuiltInPolicy), fit=_shares_tokenizer),
    "wedlm": Method(
        _wedlm,
        ("wedlm",),
        (WeDLMConfig, Mask),
        names={"lambda": "distance"},
        of_model=("window",),
        check=_greedy_if_verified,
        fit=_has_mask,
    ),
    "mdlm": Method(_mdlm, ("mdlm",), (MaskedDiffusionConfig, MaskAndShift), likelihood=False, fit=_sees_all),
    "bd3lm": Method(
        _bd3lm,
        ("bd3lm",),
        (BlockDiffusionConfig, MaskAndShift),
        likelihood=False,
        of_model=("prefill", "block_length"),
        fit=_sees_all,
    ),
}


def method_named(name: str, where: str = "method") -> Method:
    """Return a method by name, or raise a `UserError` that names the nearest."""
    if name not in METHODS:
        raise unknown(where, name, METHODS)
    return METHODS[name]


def setting_types(method: Method) -> dict[str, Any]:
    """Return the names of all settings of a method as users write them, sampling included, with their types."""
    users = {field: name for name, field in method.names.items()}
    types = {users.get(name, name): hint for name, hint in fields_of(Sampling, *method.configs).items()}
    return {**types, "do_sample": bool}


def check_settings(method: Method, settings: Mapping[str, Any], where: str) -> None:
    """Raise a `UserError` for a setting that the method does not have or whose value it does not take."""
    refuse_unknown(map(str, settings), setting_types(method), f"setting of {where}:")
    try:
        plain_settings(method, settings)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def plain_settings(method: Method, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that `values` stand for, defaults included, as JSON-serialisable data.

    None stands for what the model's own files say.
    """
    values = method.fields(values)
    if method.check is not None:
        method.check(values)
    configs = [sampling_of(values), *(build(config, values) for config in method.configs)]
    users = {field: name for name, field in method.names.items()}
    settings = {users.get(k, k): v for config in configs for k, v in dataclasses.asdict(config).items()}
    settings |= {name: None for name in method.of_model if values.get(name) is None}
    return {name: "inf" if value == float("inf") else value for name, value in settings.items()}


def load_weights(resolved: Resolved, name: str, dtype: torch.dtype, device: torch.device, self_check: bool) -> Weights:
    """Load a model beside the one that lm_eval loaded."""
    found = families.load(resolved, name, dtype, device)
    model, tokenizer, family = found if found else (*load(resolved, name, dtype, device), None)
    if self_check:
        check(model, name)
    identity = model_identity(resolved.pretrained, resolved.revision, getattr(model.config, "_commit_hash", None))
    return Weights(name, model, tokenizer, identity, model.config.max_position_embeddings, family)


def stop_ids(weights: Mapping[str, Weights]) -> frozenset[int]:
    """Return the ids that end a text, whichever of the method's models writes them."""
    return frozenset().union(*(end_ids(one.model, one.tokenizer) for one in weights.values()))


def check_fit(name: str, weights: Mapping[str, Weights], values: Mapping[str, Any], where: str) -> None:
    """Raise a `UserError` if a method cannot use the loaded models."""
    method = METHODS[name]
    try:
        if method.fit is not None:
            method.fit(weights, method.fields(values))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
