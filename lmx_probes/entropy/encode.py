"""Items as token ids: which tokens are read, which are scored, and what stands before the first of them.

**The first token.** A token is scored given all before it. A text behind a prompt is scored from its first token. A
text without a prompt is read behind the tokenizer's beginning-of-text id (its end-of-text id where it has no beginning,
as lm_eval does), so that its first token is scored too; a tokenizer with neither leaves the first token unscored.
A beginning of text that a tokenizer adds by itself is never doubled, and is never scored; an end of text that a
tokenizer appends by itself is neither read nor scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmx_files.errors import UserError
from lmx_models.zoo.loading import encode_prompt
from lmx_probes.entropy.inputs import Item

BEFORE = 8
"""Tokens before the scored ones with which these are decoded."""


@dataclass(frozen=True)
class Encoded:
    """One item in a tokenizer's ids.

    Attributes:
        tokens: all that is read. start: index of the first scored token; 1 or more. dropped: prompt tokens that did
            not fit and were cut off at the left.
        again: the text was encoded, not taken from the run's own ids.
    """

    tokens: list[int]
    start: int
    dropped: int = 0
    again: bool = True

    @property
    def scored(self) -> int:
        """Number of scored tokens."""
        return len(self.tokens) - self.start


def encode(item: Item, tokenizer: Any, longest: int | None = None, own: bool = True) -> Encoded:
    """Return the ids of a prompt and its text.

    Without logged ids, prompt and text are encoded in one piece and cut where the prompt's own ids end, spaces at the
    prompt's end counted to the text: as lm_eval encodes a pair.

    Args:
        longest: most tokens that the model reads. own: the run's tokenizer is this one, so logged ids may be taken.

    Raises:
        UserError: the text alone is too long, or holds no token.
    """
    text = item.text or ""
    logged = _logged(item, tokenizer) if own else None
    if logged is not None:
        tokens, start, again = logged[0] + logged[1], len(logged[0]), False
    elif item.prompt:
        spaces = len(item.prompt) - len(item.prompt.rstrip())
        prompt = item.prompt[: len(item.prompt) - spaces] if text and not _in_template(item.prompt) else item.prompt
        before = ids_of(tokenizer, prompt) if prompt else []
        tokens = ids_of(tokenizer, prompt + item.prompt[len(prompt) :] + text)
        start, again = len(before), True
    else:
        tokens, start, again = list(tokenizer.encode(text, add_special_tokens=False)), 0, True
    if start == 0:
        first = first_of(tokenizer)
        if first is not None and tokens[:1] != [first]:
            tokens = [first, *tokens]
        start = 1
    if len(tokens) <= start:
        raise UserError(f"{item.where}: the text has no token to score: leave it out")
    dropped = 0
    if longest is not None and len(tokens) > longest:
        dropped = len(tokens) - longest
        if dropped >= start:
            raise UserError(
                f"{item.where}: its text has {len(tokens) - start} tokens, more than the {longest} that the model "
                "reads: cut it, or take a model with a longer context"
            )
        tokens, start = tokens[dropped:], start - dropped
    return Encoded(tokens, start, dropped, again)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a text as lm_eval encodes it, without what a tokenizer appends by itself (an end of text)."""
    ids = encode_prompt(tokenizer, text)
    if ids[-1:] != [tokenizer.eos_token_id]:
        return ids
    plain = list(tokenizer.encode(text, add_special_tokens=False))
    for begin in range(len(ids) - len(plain) + 1):
        if ids[begin : begin + len(plain)] == plain:
            return ids[: begin + len(plain)]
    return ids


def first_of(tokenizer: Any) -> int | None:
    """Return the id behind which a text without a prompt is read: beginning of text, else end of text, else None."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return None if first is None else int(first)


def _in_template(prompt: str) -> bool:
    """Whether a prompt ends as chat templates do, in a line of its own: the line's end belongs to the template."""
    return prompt.endswith("\n")


def _logged(item: Item, tokenizer: Any) -> tuple[list[int], list[int]] | None:
    """Return the run's own ids, of prompt and text, if this tokenizer reads them as that text."""
    if item.tokens is None or not item.tokens or max(item.tokens) >= len(tokenizer):
        return None
    ids = list(item.tokens)
    if not tokenizer.decode(ids, skip_special_tokens=True).startswith(item.text or "") and not tokenizer.decode(
        ids, skip_special_tokens=False
    ).startswith(item.text or ""):
        return None
    ways = [tokenizer.encode(item.prompt, add_special_tokens=special) for special in (False, True)]
    if item.prompt_tokens is None:
        return ids_of(tokenizer, item.prompt), ids
    for way in ways:
        if len(way) == item.prompt_tokens:
            return list(way), ids
    if len(ways[0]) > item.prompt_tokens:  # the run cut its beginning off
        return list(ways[0][-item.prompt_tokens :]), ids
    return ids_of(tokenizer, item.prompt), ids  # a stage wrote it, behind a longer prompt of its own


def bytes_of(encoded: Encoded, tokenizer: Any) -> int:
    """Return the UTF-8 bytes of what the scored tokens stand for; an end of text and other marks have none.

    Taken as the difference to what stands before, because some tokenizers drop a blank at the beginning.
    """
    begin = max(0, encoded.start - BEFORE)

    def size(end: int | None) -> int:
        ids = encoded.tokens[begin:end]
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) if ids else ""
        return len(text.encode("utf-8", "replace"))

    return size(None) - size(encoded.start)


class TokenNames:
    """The text of single tokens, each decoded once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def __call__(self, ids: Sequence[int]) -> list[str]:
        for i in ids:
            if i not in self._known:
                self._known[i] = self._tokenizer.decode([i])
        return [self._known[i] for i in ids]


def context_of(model_config: Any) -> int | None:
    """Return how many tokens a model reads, as its configuration says; None where it says nothing."""
    longest = getattr(model_config, "max_position_embeddings", None)
    return int(longest) if longest else None
