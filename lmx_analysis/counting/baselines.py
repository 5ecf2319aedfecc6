"""What is right without reading a word: the answers that need no model, on the same questions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Right = NDArray[np.float64]


def of_numbers(table: pd.DataFrame, variant: str) -> dict[str, Right]:
    """Return for each baseline whether it is right, 0 or 1 a question (NaN: it does not apply), shape ``[questions]``.

    - `majority`: the most frequent right answer, for all questions (of several, the smallest);
    - `from_length`: the most frequent right answer of each length of list; where the length is what is asked for
      (variant ``all``) that would be the answer, and it does not apply;
    - `always_zero`.

    The first two are fitted to the very questions they are judged on, so they are a little better than what could be
    had: a model that does not beat them has shown nothing.
    """
    gold, length = table["gold"].to_numpy(), table["length"].to_numpy()
    from_length = np.full(len(table), np.nan)
    if variant != "all":
        for value in np.unique(length):
            chosen = length == value
            from_length[chosen] = gold[chosen] == _mode(gold[chosen])
    return {
        "majority": (gold == _mode(gold)).astype(float),
        "from_length": from_length,
        "always_zero": (gold == 0).astype(float),
    }


def of_membership(table: pd.DataFrame) -> dict[str, Right]:
    """Return the same of questions about words: the more frequent right answer, and yes to all."""
    member = table["member"].to_numpy(dtype=float)
    often = float(member.mean() > 0.5)
    return {"majority": (member == often).astype(float), "always_yes": member}


def _mode(values: NDArray[np.int64]) -> int:
    found, times = np.unique(values, return_counts=True)
    return int(found[times.argmax()])
