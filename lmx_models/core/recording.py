"""Keeps what the models' distributions said of each token while a text was written: no forward beside the decoder's.

A place that is written again (a token thrown away, a refused draft) keeps what was said last. A token is scored by the
distribution from which it was chosen, before temperature and filters: of an autoregressive model the one over the next
token, of a diffusion model the one over its place in the forward that filled it, masks left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.core.distributions import COLUMNS, NotFiniteError, token_scores

ALIASES = {"logprob": "surprisal", "top_p": "top_probability"}
"""Other names: a log-probability is the surprisal with its sign changed, which is what is kept."""
ALL = "all"


def read_record(value: Any) -> tuple[str, ...]:
    """Return the columns that ``record=`` names: ``entropy+logprob``, ``[entropy, logprob]`` or ``all``.

    Raises:
        UserError: a name is unknown.
    """
    if value is None or value == "" or value is False:
        return ()
    parts = value.replace("+", ",").replace(";", ",").split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise UserError(f"record={value!r} must name signals, e.g. record=entropy+logprob or record={ALL}")
    names = [str(part).strip() for part in parts]
    if ALL in names:
        return COLUMNS
    for name in names:
        if name not in COLUMNS and name not in ALIASES:
            raise unknown("signal in record", name, [*COLUMNS, *ALIASES, ALL])
    chosen = {ALIASES.get(name, name) for name in names}
    return tuple(name for name in COLUMNS if name in chosen)


class Recorder:
    """The scores of one text's tokens, by place.

    Args:
        names: of `COLUMNS`.
        vocabulary: ids below it are tokens; the rows with which a model pads its output are masked. None: all are.
    """

    def __init__(self, names: Sequence[str], vocabulary: int | None = None) -> None:
        self.names, self.vocabulary = tuple(names), vocabulary
        self._found: dict[int, tuple[int, dict[str, float]]] = {}

    def take(self, place: int, row: torch.Tensor, token: int) -> None:
        """Score the token at a place of the answer by the logits ``[vocabulary]`` from which it was chosen.

        Raises:
            NotFiniteError: a logit is NaN or infinite; its position is the place.
        """
        row = row[None, : self.vocabulary].float()
        at = torch.tensor([min(token, row.shape[1] - 1)], device=row.device)
        try:
            scores = token_scores(row, at, excluded=True)
        except NotFiniteError:
            raise NotFiniteError(place) from None
        self._found[place] = token, {name: scores[name].item() for name in self.names}

    def columns(self, tokens: Sequence[int]) -> Mapping[str, list[float | None]]:
        """Return a list a name, one value a token; None where nothing was recorded (a server's token, another
        tokenizer's)."""
        rows = [
            found[1] if (found := self._found.get(i)) and found[0] == token else {} for i, token in enumerate(tokens)
        ]
        return {name: [row.get(name) for row in rows] for name in self.names}
