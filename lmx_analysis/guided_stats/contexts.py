"""What the base had read at each consultation: the prompt's tokens as the run fed them, and the answer so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmx_analysis.guided.runs import GuidedText
from lmx_files.errors import UserError


@dataclass(frozen=True)
class Context:
    """One answer with its consultations, which share one causal forward.

    Attributes:
        prompt: the prompt's token ids. at: answer tokens before each consultation.
    """

    text: GuidedText
    prompt: list[int]
    at: list[int]

    @property
    def tokens(self) -> list[int]:
        """The prompt and the answer up to the last consultation."""
        return [*self.prompt, *self.text.tokens[: max(self.at, default=0)]]

    @property
    def positions(self) -> list[int]:
        """The position, in `tokens`, of the last token before each consultation."""
        return [len(self.prompt) + at - 1 for at in self.at]


def context_of(text: GuidedText, tokenizer: Any, name: str, truncated: bool) -> Context:
    """Return the token ids that the base had read, after checking that they are those of the run.

    Args:
        tokenizer: of the base called `name`. truncated: prompts of the run may have lost their beginning.

    Raises:
        UserError: the prompt does not have as many tokens as the run fed, or the answer's ids decode to another text.
    """
    fed = int(text.trace["prompt_tokens"])
    where = f"document {text.doc_id} of {text.task}"
    # lm_eval adds special tokens or not, by its own rules; the number of tokens tells which it did
    ways = [tokenizer.encode(text.prompt, add_special_tokens=special) for special in (False, True)]
    fitting = [ids for ids in ways if len(ids) == fed] or [ids[-fed:] for ids in ways if truncated and len(ids) > fed]
    if not fitting:
        counts = " or ".join(str(n) for n in sorted({len(ids) for ids in ways}))
        raise UserError(
            f"{where}: the prompt has {counts} tokens for {name}, but the run fed {fed}: that is another tokenizer or "
            "template. Name the run's base with --base"
        )
    written = "".join(piece for _, piece in text.line["pieces"])
    if not tokenizer.decode(text.tokens, skip_special_tokens=True).startswith(written):
        raise UserError(
            f"{where}: the token ids of the trace are not its text in the tokenizer of {name}: name the run's base "
            "with --base"
        )
    return Context(text, list(fitting[0]), [consultation["at"] for consultation in text.consultations])


def batches(contexts: Sequence[Context], size: int) -> list[list[int]]:
    """Return numbers of contexts that have consultations, in batches of similar length, the longest first."""
    asked = [number for number, context in enumerate(contexts) if context.at]
    asked.sort(key=lambda number: -len(contexts[number].tokens))
    return [asked[start : start + size] for start in range(0, len(asked), size)]
