"""When a text ends: end-of-text ids, stop strings matched on text, and the token limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmx_models.decoding.base import Finish


@dataclass(frozen=True)
class Stopping:
    """Stop conditions of one sequence.

    Attributes:
        max_tokens: most tokens to generate, a closing end-of-text id included.
        eos: ids that end the text, whichever model writes them.
        strings: stop strings; matched on the decoded text, so across token borders, and cut before.
        decode: ids to text, special tokens left out.
    """

    max_tokens: int
    eos: frozenset[int]
    strings: tuple[str, ...]
    decode: Callable[[Sequence[int]], str]

    def check(self, tokens: Sequence[int]) -> Finish | None:
        """Say why the text ends with its last token, or None if it goes on."""
        if tokens and tokens[-1] in self.eos:
            return "eos"
        if self.strings and tokens and self._tail_has_stop(tokens):
            return "stop"
        if len(tokens) >= self.max_tokens:
            return "length"
        return None

    def text(self, tokens: Sequence[int]) -> str:
        """Decode `tokens`, without a closing end-of-text id, cut before the first stop string."""
        if tokens and tokens[-1] in self.eos:
            tokens = tokens[:-1]
        text = self.decode(tokens)
        cuts = [at for at in (text.find(string) for string in self.strings if string) if at >= 0]
        return text[: min(cuts)] if cuts else text

    def _tail_has_stop(self, tokens: Sequence[int]) -> bool:
        # Every token but a special one is at least a byte, so this tail holds any stop string that ends in the last
        # token; the slack is for special tokens and for tokenizers that drop a leading space.
        longest = max(len(string.encode()) for string in self.strings)
        tail = self.decode(tokens[-(longest + 8) :])
        if not any(string and string in tail for string in self.strings):
            return False
        whole = self.decode(tokens)
        return any(string and string in whole for string in self.strings)
