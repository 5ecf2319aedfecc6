"""A trial: two prompts of equal length, the places that are patched, and the two answers between which is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmx_files.errors import UserError
from lmx_probes.mediation.roles import Place, all_of, places_of

Span = tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """A pair of texts as token ids.

    Attributes:
        kind: how the second differs, e.g. ``add``; analyses take controls apart by it.
        answer, other: numbers right for `base` and `source`; the metric is z(other) - z(answer).
        moves: whether the right number differs between the two.
        before: a position before the first that differs, a control; -1 for none. about: what is kept with the results.
    """

    number: int
    kind: str
    base: tuple[int, ...]
    source: tuple[int, ...]
    places: tuple[Place, ...]
    answer: int
    other: int
    moves: bool = True
    before: int = -1
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def slots(self) -> list[Place]:
        """All places: each by itself, all together, and the control before."""
        control = [Place("before", "before", (self.before,))] if self.before >= 0 else []
        return [*self.places, all_of(self.places, len(self.base)), *control]


Encoded = tuple[list[int], list[Span]]
"""Token ids of a prompt and the characters that each token covers."""


def encoder(tokenizer: Any) -> Callable[[str], Encoded]:
    """Return a function from a prompt to its `Encoded`; a beginning of text that the prompt has is not added again.

    The function raises a `UserError` where the tokenizer does not know which characters a token covers.
    """
    bos = getattr(tokenizer, "bos_token", None)

    def encode(text: str) -> Encoded:
        special: dict[str, Any] = {"add_special_tokens": False} if bos and text.startswith(bos) else {}
        try:
            found = tokenizer(text, return_offsets_mapping=True, **special)
        except NotImplementedError as error:
            raise UserError(
                f"the model's tokenizer ({type(tokenizer).__name__}) does not say which characters its tokens cover, "
                "so words cannot be found among them. Give the model's folder a tokenizer.json, as a fast tokenizer "
                "saves it"
            ) from error
        return list(found["input_ids"]), [tuple(span) for span in found["offset_mapping"]]

    return encode


def trial_of(
    number: int, kind: str, base: Encoded, source: Encoded, spans: Sequence[Span], index: int, answers: tuple[int, int],
    moves: bool, about: dict[str, Any],
) -> Trial | str:  # fmt: skip
    """Return the trial of two prompts, or why they make none.

    Args:
        spans: characters of each word in the first. index: the word that differs. answers: right for the first, and the
            other.
    """
    (ids, offsets), (others, _) = base, source
    if len(ids) != len(others):
        return "texts of unequal length in tokens"
    places = places_of(spans, offsets, index)
    differing = {i for i, (a, b) in enumerate(zip(ids, others, strict=True)) if a != b}
    if not places or places[0].role != "swapped_item" or not differing:
        return "no tokens of its own for the word that differs"
    if not differing <= set(places[0].positions):
        return "tokens differ beside the word"
    if places[-1].role != "cue":
        return "nothing between the list and the answer"
    first = places[0].positions[0]
    before = (7919 * (number + 1)) % (first - 1) + 1 if first > 1 else -1  # any position, the same each time
    return Trial(
        number, kind, tuple(ids), tuple(others), tuple(places), answers[0], answers[1], moves, before, about
    )  # fmt: skip
