"""``--model my_two_models``: contrastive decoding (Li et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from lmx_models.api import Decoding, Feed, Generation, Method, MethodLM, Request, Segment, UserError, build, sample


@dataclass(frozen=True)
class Settings:
    """Settings; each is a model argument and a generation argument by its own name.

    Attributes:
        alpha: tokens that the expert finds less probable than `alpha` times its best one are left out; 1: the best.
        amateur_temperature: the amateur's; above 1 it says less against what it likes.
    """

    alpha: float = 0.1
    amateur_temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise UserError(f"alpha={self.alpha} must lie in (0, 1]")
        if not 0 < self.amateur_temperature < float("inf"):
            raise UserError(f"amateur_temperature={self.amateur_temperature} must be a positive number")


def contrast(expert: torch.Tensor, amateur: torch.Tensor, config: Settings) -> torch.Tensor:
    """Return each token's score, ``[vocabulary]``: log p(expert) - log p(amateur) in nats, -inf if not plausible."""
    size = min(len(expert), len(amateur))  # models of one tokenizer may pad their vocabularies differently
    expert = torch.log_softmax(expert[:size].double(), -1)
    amateur = torch.log_softmax(amateur[:size].double() / config.amateur_temperature, -1)
    return (expert - amateur).masked_fill(expert < expert.max() + math.log(config.alpha), -torch.inf)


def decode(request: Request, weights: object) -> Decoding:
    """Write one text: a generator that yields what it wants computed and receives logits, ``[1, vocabulary]``."""
    config: Settings = build(Settings, request.values)
    rng, fed, tokens = request.rng("sample"), request.prompt, list[int]()
    while True:
        expert = yield Feed("expert", fed)
        amateur = yield Feed("amateur", fed)
        tokens.append(sample(contrast(expert[-1], amateur[-1], config), request.sampling, rng))
        if finish := request.stopping.check(tokens):
            return Generation(tokens, [Segment("expert", 0, len(tokens))], finish)
        fed = tokens[-1:]


METHOD = Method("my_two_models", decode, roles=("expert", "amateur"), settings=(Settings,))


class MyTwoModelsLM(MethodLM):
    """Args: ``pretrained`` (the expert), ``amateur``, fields of `Settings` and `Sampling`, and ``hf``'s."""

    described: ClassVar[Method] = METHOD
