"""Can the right count be guessed from what a list looks like, without knowing what its words mean?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5
STRENGTHS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)


def features(docs: Sequence[Mapping[str, Any]], looks: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Return what each list looks like, ``[documents, features]``.

    Args:
        looks: numbers of each word, e.g. its characters, its tokens, how frequent it is.

    Of each number: mean, deviation, least, greatest, sum, that of the first and the last word, its slope along the list
    and the mean step from word to word; and the square of each, so that a curve can be fitted.
    """
    import numpy as np

    rows = []
    for doc in docs:
        seen = np.array([looks[word] for word in doc["words"]], dtype=float)
        place = np.arange(len(seen)) - (len(seen) - 1) / 2
        steps = np.abs(np.diff(seen, axis=0)).mean(0) if len(seen) > 1 else np.zeros(seen.shape[1])
        kinds = (seen.mean(0), seen.std(0), seen.min(0), seen.max(0), seen.sum(0), seen[0], seen[-1])
        rows.append(np.concatenate([*kinds, place @ seen / len(seen), steps]))
    found = np.array(rows)
    return np.hstack([found, found**2])


def out_of_fold_r2(seen: np.ndarray, docs: Sequence[Mapping[str, Any]], seed: int = 0) -> float:
    """Return the R2 with which ridge regression predicts counts that it has not seen; at most 0 means not at all.

    The length of the list is partialled out (Frisch and Waugh 1933): counts and features are taken as differences from
    the mean of their length. The penalty is chosen in each fold's training part by generalised cross-validation (Golub,
    Heath and Wahba 1979).
    """
    import numpy as np

    lengths = np.array([doc["length"] for doc in docs])
    y = np.array([doc["count"] for doc in docs], dtype=float)
    x = np.array(seen, dtype=float)
    for length in np.unique(lengths):
        rows = lengths == length
        y[rows] -= y[rows].mean()
        x[rows] -= x[rows].mean(0)
    spread = x.std(0)
    x = x[:, spread > 1e-9] / spread[spread > 1e-9]
    fold = np.arange(len(y)) % FOLDS
    fold = fold[random.Random(seed).sample(range(len(y)), len(y))]
    guess = np.zeros(len(y))
    for number in range(FOLDS):
        train = fold != number
        guess[~train] = x[~train] @ _ridge(x[train], y[train])
    return float(1 - ((y - guess) ** 2).sum() / (y**2).sum())


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the coefficients at the penalty with the least generalised cross-validation error."""
    import numpy as np

    values, axes = np.linalg.eigh(x.T @ x)
    values = np.maximum(values, 0)
    onto = axes.T @ (x.T @ y)
    best, found = np.inf, np.zeros(x.shape[1])
    for strength in STRENGTHS:
        along = onto / (values + strength)
        missed = y @ y - 2 * along @ onto + (values * along**2).sum()
        error = missed / (len(y) - (values / (values + strength)).sum()) ** 2
        if error < best:
            best, found = error, axes @ along
    return found
