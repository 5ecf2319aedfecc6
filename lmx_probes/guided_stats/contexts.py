"""What the base had read at each consultation: the prompt's tokens as the run fed them, and the answer so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lmx_files.errors import UserError


class Asked(Protocol):
    """One answer of a run, and where the oracle was asked in it."""

    @property
    def where(self) -> str:
        """Names the answer in messages."""

    @property
    def prompt(self) -> str:
        """As the base was given it, chat template included."""

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the run made of it."""

    @property
    def truncated(self) -> bool:
        """Whether prompts of the run may have lost their beginning."""

    @property
    def tokens(self) -> Sequence[int]:
        """Token ids of the answer, a closing end-of-text id included."""

    @property
    def written(self) -> str:
        """The text of the answer."""

    @property
    def at(self) -> Sequence[int]:
        """Tokens of the answer before each consultation."""

    @property
    def oracle_tokens(self) -> Sequence[int]:
        """Tokens that the oracle wrote at each consultation."""


@dataclass(frozen=True)
class Context:
    """One answer with its consultations, which share one causal forward; `prompt`: the prompt's token ids."""

    text: Asked
    prompt: list[int]

    @property
    def tokens(self) -> list[int]:
        """The prompt and the answer up to the last consultation."""
        return [*self.prompt, *self.text.tokens[: max(self.text.at, default=0)]]

    @property
    def positions(self) -> list[int]:
        """The position, in `tokens`, of the last token before each consultation."""
        return [len(self.prompt) + at - 1 for at in self.text.at]


def context_of(text: Asked, tokenizer: Any, name: str) -> Context:
    """Return the token ids that the base had read, after checking that they are those of the run.

    Args:
        tokenizer: of the base called `name`.

    Raises:
        UserError: the prompt does not have as many tokens as the run fed, or the answer's ids decode to another text.
    """
    fed = text.prompt_tokens
    # lm_eval adds special tokens or not, by its own rules; the number of tokens tells which it did
    ways = [tokenizer.encode(text.prompt, add_special_tokens=special) for special in (False, True)]
    cut = [ids[-fed:] for ids in ways if text.truncated and len(ids) > fed]
    fitting = [ids for ids in ways if len(ids) == fed] or cut
    if not fitting:
        counts = " or ".join(str(n) for n in sorted({len(ids) for ids in ways}))
        raise UserError(
            f"{text.where}: the prompt has {counts} tokens for {name}, but the run fed {fed}: that is another "
            "tokenizer or template. Name the run's base with --base"
        )
    if not tokenizer.decode(list(text.tokens), skip_special_tokens=True).startswith(text.written):
        raise UserError(
            f"{text.where}: the token ids of the trace are not its text in the tokenizer of {name}: name the "
            "run's base with --base"
        )
    return Context(text, list(fitting[0]))


def batches(contexts: Sequence[Context], size: int) -> list[list[int]]:
    """Return numbers of contexts that have consultations, in batches of similar length, the longest first."""
    asked = [number for number, context in enumerate(contexts) if context.text.at]
    asked.sort(key=lambda number: -len(contexts[number].tokens))
    return [asked[start : start + size] for start in range(0, len(asked), size)]
