"""What masked and block diffusion share: asking for masked positions, choosing what to fill, the answer so far."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Feed, Finish, Generation, Segment
from lmx_models.core.sampling import Sampling, sample
from lmx_models.core.stopping import Stopping

REMASKING = ("low_confidence", "topk_margin", "entropy", "random")
SCHEDULES = ("even", "dream")
_LAST_TIME = 1e-3  # of Dream's schedule
# Sends feeds, returns the logits ``[positions, vocabulary]`` of the positions asked for.
Prediction = Generator[Feed, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Head:
    """What a model's logits speak of.

    Attributes:
        mask_id: the id that stands for a mask.
        shifted: a token's row of logits speaks of the *next* position (Dream, arXiv 2508.15487), not of its own.
    """

    mask_id: int
    shifted: bool = False


@dataclass(frozen=True)
class UnmaskingConfig:
    """How masks are filled; a filled token stays.

    Attributes:
        steps: forwards for an answer of `max_gen_toks` tokens, spread evenly over its blocks, and the tokens of a
            block evenly over its forwards (at least one forward a block, at most one a token). None: one a token.
        threshold: instead of `steps`, fill in each forward every mask whose confidence is above this, and at least the
            most confident one (Fast-dLLM, arXiv 2505.22618, "confidence-aware parallel decoding").
        remasking: which masks are filled first. ``low_confidence``: the most probable candidates (LLaDA, arXiv
            2502.09992, section 2.4; Dream, arXiv 2508.15487, calls it ``maskgit_plus``). Dream's other two:
            ``topk_margin`` (the largest lead of the most probable token over the second) and ``entropy`` (the lowest).
            ``random``: any.
        schedule: how many masks each of the `steps` fills. ``even``: as many as the others (LLaDA). ``dream``: of those
            left the share 1 - s/t, rounded down, while the time falls evenly from 1 to 0.001, and at last all that are
            left; a forward that would fill none is not made.
        block_length: tokens of a block; blocks are filled from left to right.
    """

    steps: int | None = None
    threshold: float | None = None
    remasking: str = "low_confidence"
    block_length: int | None = None
    schedule: str = "even"

    def __post_init__(self) -> None:
        for name in ("steps", "block_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value} must be a whole number of at least 1")
        if self.threshold is not None:
            if not 0 <= self.threshold <= 1:
                raise UserError(f"threshold={self.threshold} must lie in [0, 1]")
            if self.steps is not None:
                raise UserError(f"steps={self.steps} and threshold={self.threshold} exclude each other: set one")
            if self.remasking != "low_confidence":
                raise UserError(
                    f"threshold is of a probability: it needs remasking=low_confidence, not {self.remasking}"
                )
            if self.schedule != "even":
                raise UserError(f"threshold and schedule={self.schedule} exclude each other: set one")
        if self.remasking not in REMASKING:
            raise unknown("remasking", self.remasking, REMASKING)
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)


def predict(
    model: str,
    canvas: Sequence[int],
    wanted: Sequence[int],
    head: Head,
    at: int = 0,
    before: torch.Tensor | None = None,
) -> Prediction:
    """Ask for the logits of some positions of `canvas`, whose tokens all see one another and `at` cached ones.

    The wanted positions are fed last, whatever their place in the text, so that logits are computed for them alone: the
    order of tokens that all see one another means nothing, their positions are fed along.

    Args:
        canvas: ids, masks among them, of the positions from `at` on.
        wanted: indices into `canvas`, ascending.
        before: for a shifted head, logits ``[1, vocabulary]`` of the last cached token.

    Returns:
        Logits ``[wanted, vocabulary]``; the mask id's is minus infinity, so that nothing ever writes a mask (the
        "SUBS" parameterization of MDLM, arXiv 2406.07524).
    """
    speakers = [i - head.shifted for i in wanted]
    asked = [i for i in speakers if i >= 0]
    parts = []
    if len(asked) < len(speakers):
        assert before is not None, "a shifted head needs the logits of the token before the canvas"
        parts.append(before)
    if asked:
        last = set(asked)
        order = [i for i in range(len(canvas)) if i not in last] + asked
        tokens, positions = [canvas[i] for i in order], [at + i for i in order]
        parts.append((yield Feed(model, tokens, at, positions, keep=0, logits=len(asked), full=True)))
    logits = torch.cat(parts)
    return logits.index_fill(1, torch.tensor([head.mask_id], device=logits.device), float("-inf"))


@dataclass(slots=True)
class Answer:
    """An answer being filled. tokens: None where there is a mask. steps: forward, from 1, that filled each token."""

    tokens: list[int | None]
    steps: list[int]
    forwards: int = 0
    ready: list[int] = field(default_factory=list)

    def ids(self, mask_id: int) -> list[int]:
        """Return the whole answer with masks as `mask_id`."""
        return [mask_id if token is None else token for token in self.tokens]

    def masked(self, begin: int, end: int) -> list[int]:
        """Return the masks in ``[begin, end)``, ascending."""
        return [i for i in range(begin, end) if self.tokens[i] is None]

    def finish(self, stopping: Stopping) -> Finish | None:
        """Say why the text is complete, if it is: all is filled up to an end-of-text, a stop string or the limit."""
        while len(self.ready) < len(self.tokens) and (token := self.tokens[len(self.ready)]) is not None:
            self.ready.append(token)
            if reason := stopping.check(self.ready):
                return reason
        return None

    def generation(self, source: str, finish: Finish) -> Generation:
        """Return the text up to its end; tokens filled behind it count as dropped."""
        kept = len(self.ready)
        dropped = sum(token is not None for token in self.tokens[kept:])
        segments = [Segment(source, 0, kept)]
        return Generation(self.ready, segments, finish, dropped, {"steps": self.steps[:kept]})


def new_answer(length: int) -> Answer:
    """Return an answer of `length` masks."""
    return Answer([None] * length, [0] * length)


def denoise(
    answer: Answer,
    block: tuple[int, int],
    counts: Sequence[int],
    ask: Callable[[list[int]], Prediction],
    config: UnmaskingConfig,
    sampling: Sampling,
    stopping: Stopping,
    rng: random.Random,
) -> Generator[Feed, torch.Tensor, Finish | None]:
    """Fill the masks of one block; return why the text is complete, or None.

    A text is complete as soon as everything before its end is filled: what is still masked behind it cannot change it.

    Args:
        counts: how many tokens each forward fills (see `schedule`); with a threshold, at least.
        ask: makes the prediction for masked indices into the answer.
    """
    for count in counts:
        masked = answer.masked(*block)
        if not masked:
            break
        logits = yield from ask(masked)
        answer.forwards += 1
        tokens = _candidates(logits, sampling, rng)
        for i in _chosen(logits, tokens, config, count, rng):
            answer.tokens[masked[i]], answer.steps[masked[i]] = tokens[i], answer.forwards
            stopping.record(masked[i], logits[i], tokens[i])
        if finish := answer.finish(stopping):
            return finish
    return None


def schedule(length: int, config: UnmaskingConfig) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield each block of an answer as ``(begin, end)``, with how many tokens each of its forwards fills."""
    size = config.block_length or length
    begins = range(0, length, size)
    forwards = [size] * len(begins) if config.steps is None else _evenly(config.steps, len(begins))
    for begin, n in zip(begins, forwards, strict=True):
        end = min(begin + size, length)
        steps = max(1, min(n, end - begin))
        yield (begin, end), (_dream if config.schedule == "dream" else _evenly)(end - begin, steps)


def _evenly(n: int, parts: int) -> list[int]:
    """Cut `n` into whole numbers that differ by one at most, the larger ones first."""
    return [n // parts + (i < n % parts) for i in range(parts)]


def _dream(n: int, steps: int) -> list[int]:
    """Cut `n` as Dream's times do, in float32 as there; zeros are left out."""
    times = torch.linspace(1, _LAST_TIME, steps + 1)
    counts = []
    for t, s in itertools.pairwise(times[:-1]):
        counts.append(int(n * (1 - s / t)))
        n -= counts[-1]
    return [count for count in (*counts, n) if count]


def _candidates(logits: torch.Tensor, sampling: Sampling, rng: random.Random) -> list[int]:
    if sampling.temperature == 0:
        return logits.argmax(-1).tolist()
    return [sample(row, sampling, rng) for row in logits]


def _chosen(
    logits: torch.Tensor, tokens: list[int], config: UnmaskingConfig, count: int, rng: random.Random
) -> list[int]:
    """Return which of the masks get their candidates: the `count` most confident, and all above the threshold.

    Confidence is read from the model's distribution before temperature and filters: after them a temperature near 0
    would make all candidates certain.
    """
    if config.remasking == "random":
        return rng.sample(range(len(tokens)), count)
    probabilities = torch.softmax(logits, dim=-1)
    if config.remasking == "topk_margin":
        first, second = probabilities.topk(2).values.unbind(-1)
        confidence = first - second
    elif config.remasking == "entropy":
        confidence = -torch.special.entr(probabilities).sum(-1)
    else:
        confidence = probabilities[range(len(tokens)), tokens]
    order = torch.sort(confidence, descending=True, stable=True).indices.tolist()
    if config.threshold is not None:
        count = max(count, int((confidence > config.threshold).sum()))
    return order[:count]
