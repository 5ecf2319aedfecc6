"""Guided decoding as a method; its ``--model`` class, which also bridges tokenizers and servers, is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Decoding
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import POLICIES, PolicyConfig
from lmx_models.methods.method import Method
from lmx_models.methods.weights import Weights
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request


@dataclass(frozen=True)
class BuiltInPolicy(PolicyConfig):
    """The policies of ``guided`` inside another method: those that need neither a file nor the user's code."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise unknown("policy", self.policy, POLICIES, "A policy of your own needs --model guided")
        if self.calibration:
            raise UserError("calibration= needs --model guided: give the threshold itself (threshold=NUMBER)")
        super().__post_init__()


def _start(request: Request, weights: Mapping[str, Weights]) -> Decoding:
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


GUIDED = Method("guided", _start, ("base", "oracle"), (GuidedConfig, BuiltInPolicy))
