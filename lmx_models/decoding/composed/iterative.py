"""Iterative improvement: draft, then rounds of critique and revision by the same model.

Self-Refine (Madaan et al. 2023, arXiv 2303.17651, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmx_files.errors import UserError
from lmx_models.core.base import Decoding, Generation
from lmx_models.decoding.composed.stages import Stage

NOTHING_WRONG = "nothing is wrong"
MOST_ROUNDS = 100


@dataclass(frozen=True)
class IterativeConfig:
    """Settings of iterative improvement.

    Attributes:
        rounds: most rounds of critique and revision; 0 is the draft alone.
        critique_tokens: most tokens of a critique.
        critique_temperature: of the critic; None: as for the answer.
        early_stop: end when the critic says that nothing is wrong (see `satisfied`), or a revision changed nothing.
    """

    rounds: int = 1
    critique_tokens: int = 128
    critique_temperature: float | None = None
    early_stop: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rounds <= MOST_ROUNDS:
            raise UserError(f"rounds={self.rounds} must be a whole number from 0 to {MOST_ROUNDS}")
        if self.critique_tokens < 1:
            raise UserError(f"critique_tokens={self.critique_tokens} must be at least 1")
        if self.critique_temperature is not None and not 0 <= self.critique_temperature < float("inf"):
            raise UserError(f"critique_temperature={self.critique_temperature} must be 0 (greedy) or a positive number")


def satisfied(critique: str) -> bool:
    """Whether the critic finds nothing wrong.

    The rule: the first line that is not blank, without list marker, quotes, emphasis and closing punctuation, reads
    "nothing is wrong", in capitals or not. Anything else, an empty critique included, is a critique.
    """
    first = next((line for line in critique.splitlines() if line.strip()), "")
    return first.strip(" \t-*\u2022>\"'`.!").casefold() == NOTHING_WRONG


def iterative(config: IterativeConfig, write: Callable[[str, int, Mapping[str, str]], Stage]) -> Decoding:
    """Draft; then in each round let the critic speak and write the answer again. Nothing but the model writes text.

    Args:
        write: makes the stage ``draft``, ``critique`` or ``revise`` of a round, given the ``text`` so far and the
            ``critique`` of it.

    Returns:
        The tokens of the last version. ``extra["rounds"]`` has for each round, the draft being round 0, its ``text``,
        the records of what was ``written`` and of its ``critique``; ``extra["stopped"]`` says why there are no more:
        ``rounds``, ``satisfied`` or ``unchanged``.
    """
    answer = yield from write("draft", 0, {})
    source, dropped, stopped = "draft", answer.cost.dropped, "rounds"
    rounds: list[dict[str, Any]] = [{"round": 0, "text": answer.text, "critique": None, "written": answer.record()}]
    for number in range(1, config.rounds + 1):
        critique = yield from write("critique", number, {"text": answer.text})
        dropped += critique.cost.dropped
        entry = {"round": number, "text": answer.text, "critique": critique.record(), "written": None}
        rounds.append(entry)
        if config.early_stop and satisfied(critique.text):
            stopped = "satisfied"
            break
        before, source = answer.text, "revise"
        answer = yield from write("revise", number, {"text": before, "critique": critique.text})
        dropped += answer.cost.dropped
        entry["text"], entry["written"] = answer.text, answer.record()
        if config.early_stop and answer.text == before:
            stopped = "unchanged"
            break
    last, extra = answer.generation, {"rounds": rounds, "stopped": stopped}
    return Generation(last.tokens, answer.segments(source), last.finish, dropped, extra)
