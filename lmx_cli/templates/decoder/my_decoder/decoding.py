"""Blockwise best of n: draft the next few tokens n times, keep the draft the model finds most probable, go on."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from lmx_files.errors import UserError
from lmx_models.core.base import Decoding, Feed, Generation, Segment
from lmx_models.core.sampling import Sampling, sample
from lmx_models.core.stopping import Stopping

MODEL = "ar"  # the name that `DecoderLM.step_models` gives to the model


@dataclass(frozen=True)
class MyDecoderConfig:
    """Settings; each is a model argument and a generation argument by its own name.

    Attributes:
        n: drafts of each block; 1 is plain decoding.
        block: tokens in a draft.
        draft_temperature: at which drafts are sampled, whatever temperature the task sets; 0 is greedy.
    """

    n: int = 4
    block: int = 8
    draft_temperature: float = 0.8

    def __post_init__(self) -> None:
        for name in ("n", "block"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be a whole number of at least 1")
        Sampling(self.draft_temperature)  # refuses what is no temperature
        if self.n > 1 and self.draft_temperature == 0:
            raise UserError(f"draft_temperature=0 makes all n={self.n} drafts the same: raise it, or set n=1")


@dataclass(frozen=True)
class Draft:
    """Some tokens to go on with; `score`: the mean of their log-probabilities, in nats."""

    tokens: list[int]
    score: float


def best_of_n(
    prompt: Sequence[int],
    config: MyDecoderConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
) -> Decoding:
    """Write one text. This is a generator: it yields what it wants computed and receives the logits.

    Blockwise best of n is described by Mudgal et al. 2023 ("Controlled Decoding from Language Models"); the score
    here is the model's own. What a rejected draft left in the cache is forgotten when the next feed goes on from
    `at`.

    Args:
        prompt: ids of the prompt, at least one.
        rng: the text's own stream of random numbers, so that the batch does not change the text.
    """
    tokens: list[int] = []
    dropped, scores = 0, []
    logits = yield Feed(MODEL, prompt)
    while True:
        start = len(prompt) + len(tokens)
        drafts = []
        for _ in range(config.n):
            drafts.append((yield from _draft(logits[-1], start, tokens, config.block, sampling, stopping, rng)))
        best = max(drafts, key=lambda draft: draft.score)
        tokens += best.tokens
        dropped += sum(len(draft.tokens) for draft in drafts if draft is not best)
        scores.append([round(draft.score, 4) for draft in drafts])
        if finish := stopping.check(tokens):
            segments = [Segment("my_decoder", 0, len(tokens))]
            return Generation(tokens, segments, finish, dropped, {"scores": scores})
        logits = yield Feed(MODEL, best.tokens, at=start)


def _draft(
    logits: torch.Tensor,
    start: int,
    before: Sequence[int],
    block: int,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
) -> Generator[Feed, torch.Tensor, Draft]:
    """Sample up to `block` tokens; `logits` of shape ``[vocabulary]`` are those of the first, at cache slot `start`."""
    tokens: list[int] = []
    total = 0.0
    while True:
        tokens.append(sample(logits, sampling, rng))
        total += float(torch.log_softmax(logits.double(), dim=-1)[tokens[-1]])
        if len(tokens) == block or stopping.check([*before, *tokens]):
            return Draft(tokens, total / len(tokens))
        logits = (yield Feed(MODEL, tokens[-1:], at=start + len(tokens) - 1))[-1]
