"""Which tokens say a number, and what a model's logits say of the count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lmx_files.errors import UserError

Tensor = torch.Tensor
LARGEST = 20
"""Numbers that are looked for, at most."""


@dataclass(frozen=True)
class Answers:
    """The tokens with which an answer begins, for 0, 1, 2, ... as far as each number is a token of its own.

    Attributes:
        tokens: of each number. space: whether the answer begins with a space.
    """

    tokens: tuple[int, ...]
    space: bool

    def __contains__(self, number: int) -> bool:
        return 0 <= number < len(self.tokens)

    def expected(self, logits: Tensor) -> Tensor:
        """Return the expected number under the softmax over the numbers alone, of logits ``[..., numbers]``."""
        return torch.softmax(logits.double(), dim=-1) @ torch.arange(len(self.tokens), dtype=torch.float64)


def answers_of(prompts: Sequence[str], tokens: Callable[[str], Sequence[int]], logits: Sequence[Tensor]) -> Answers:
    """Return the number tokens of a model, with or without a space, whichever it holds likelier.

    Args:
        prompts: a few prompts. tokens: token ids of a text. logits: of the model after each prompt, ``[vocabulary]``.

    Raises:
        UserError: the tokenizer has no token of its own for 0 and 1.
    """
    found = []
    for space in (False, True):
        numbers = _numbers(prompts[0], " " if space else "", tokens)
        if len(numbers) > 1:
            likely = sum(float(torch.log_softmax(each, -1)[list(numbers)].logsumexp(0)) for each in logits)
            found.append((likely, Answers(tuple(numbers), space)))
    if not found:
        raise UserError(
            "the model's tokenizer has no token for each number, so the answer has no single token to look at"
        )
    return max(found, key=lambda each: each[0])[1]


def _numbers(prompt: str, space: str, tokens: Callable[[str], Sequence[int]]) -> list[int]:
    """Return the first token of the answers 0, 1, ... up to the first that has none of its own."""
    before = list(tokens(prompt))
    found: list[int] = []
    for number in range(LARGEST + 1):
        after = list(tokens(f"{prompt}{space}{number}"))
        if after[: len(before)] != before or len(after) <= len(before):
            break
        token = after[len(before)]
        if space and number == 0 and list(tokens(f"{prompt} "))[len(before) : len(before) + 1] == [token]:
            break  # the space is a token of its own
        if token in found:
            break
        found.append(token)
    return found
