"""When a text ends: end-of-text ids, stop strings matched on text, the token limit; and what of it is the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmx_models.core.base import Finish, Generation
from lmx_models.core.recording import Recorder


@dataclass(frozen=True)
class Reasoning:
    """What a model writes before its answer. Stop strings mean nothing there: they are for the answer.

    Attributes:
        end: the text, the id or the ids in a row, behind which the answer begins.
        begin: the text that opens a reasoning (``<think>``); empty: not known.
        open: True: the prompt ends with an opened reasoning; False: with a closed one; None: neither.
    """

    end: str | int | tuple[int, ...]
    begin: str = ""
    open: bool | None = None


@dataclass(frozen=True)
class Stopping:
    """Stop conditions of one sequence.

    Attributes:
        max_tokens: most tokens to generate, a closing end-of-text id included.
        eos: ids that end the text, whichever model writes them.
        strings: stop strings; matched on the decoded text, so across token borders, and cut before.
        decode: ids to text, special tokens left out.
        reasoning: None for a model of whose reasoning nothing is known: then all it writes is the answer.
        recorder: keeps the scores of tokens as they are written; None: nothing is kept.
    """

    max_tokens: int
    eos: frozenset[int]
    strings: tuple[str, ...]
    decode: Callable[[Sequence[int]], str]
    reasoning: Reasoning | None = None
    recorder: Recorder | None = field(default=None, compare=False)

    def record(self, place: int, row: Any, token: int) -> None:
        """Tell the recorder, if there is one, from which logits ``[vocabulary]`` the token at `place` was chosen."""
        if self.recorder is not None:
            self.recorder.take(place, row, token)

    def with_recorded(self, generation: Generation) -> Generation:
        """Add what was recorded of its tokens to a finished text (in place)."""
        if self.recorder is not None:
            generation.extra["recorded"] = dict(self.recorder.columns(generation.tokens))
        return generation

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
        """Decode `tokens`, reasoning included, without a closing end-of-text id, cut before the first stop string."""
        tokens = self._open(tokens)
        text = self.decode(tokens)
        behind = self._answer(tokens)[1]
        return text[: len(text) - behind] if behind else text

    def answer(self, tokens: Sequence[int], finish: Finish) -> str:
        """Return what a reader takes for the answer: what follows the reasoning, cut before the first stop string.

        Empty for a reasoning that did not end: it ran into a limit, or it was opened and the text ended within it. A
        text that ended by itself and never spoke of a reasoning is an answer as a whole, as in lm_eval.
        """
        tokens = self._open(tokens)
        answer, _ = self._answer(tokens)
        if answer is not None:
            return answer
        if self.unfinished(tokens, finish):
            return ""
        return self._cut(self.decode(tokens).lstrip())

    def unfinished(self, tokens: Sequence[int], finish: Finish) -> bool:
        """Whether the text ended within the reasoning."""
        reasoning = self.reasoning
        tokens = self._open(tokens)
        if reasoning is None or self._answer(tokens)[0] is not None:
            return False
        opened = reasoning.open or bool(reasoning.begin and reasoning.begin in self.decode(tokens))
        return opened or finish in ("length", "context")

    def _open(self, tokens: Sequence[int]) -> Sequence[int]:
        return tokens[:-1] if tokens and tokens[-1] in self.eos else tokens

    def _cut(self, text: str) -> str:
        cuts = [at for at in (text.find(string) for string in self.strings if string) if at >= 0]
        return text[: min(cuts)] if cuts else text

    def _answer(self, tokens: Sequence[int]) -> tuple[str | None, int]:
        """Return the answer (None: the reasoning has not ended), and how many characters a stop string cuts off.

        As in lm_eval the answer begins behind the last end of a reasoning, and blanks before it do not count; but an
        end that only stands behind a stop string was never to be written.
        """
        if self.reasoning is None:
            text = self.decode(tokens)
            cut = self._cut(text)
            return cut, len(text) - len(cut)
        end = self.reasoning.end
        if isinstance(end, str):
            parts, between = self.decode(tokens).split(end), len(end)
        else:
            ids = (end,) if isinstance(end, int) else end
            parts, between = _parts(tokens, ids, self.decode), len(self.decode(ids))
        answer = None
        for i, part in enumerate(parts):
            if i == 0 and self.reasoning.open is not False:
                continue
            answer = part.lstrip()
            cut = self._cut(answer)
            if cut != answer:
                return cut, len(answer) - len(cut) + sum(between + len(later) for later in parts[i + 1 :])
        return answer, 0

    def _tail_has_stop(self, tokens: Sequence[int]) -> bool:
        # Every token but a special one is at least a byte, so this tail holds any stop string that ends in the last
        # token; the slack is for special tokens and for tokenizers that drop a leading space.
        longest = max(len(string.encode()) for string in self.strings)
        tail = self.decode(tokens[-(longest + 8) :])
        return any(string and string in tail for string in self.strings) and self._answer(tokens)[1] > 0


def _parts(tokens: Sequence[int], end: tuple[int, ...], decode: Callable[[Sequence[int]], str]) -> list[str]:
    """Return the texts between the places where the tokens `end` stand in a row."""
    parts, start, n = [], 0, len(end)
    for i in range(len(tokens) - n + 1):
        if i >= start and tuple(tokens[i : i + n]) == end:
            parts.append(decode(tokens[start:i]))
            start = i + n
    return [*parts, decode(tokens[start:])]
