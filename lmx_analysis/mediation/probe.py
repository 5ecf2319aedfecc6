"""A linear probe for the running count, with position and the word itself taken out, on words it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PENALTIES = tuple(10.0**k for k in range(-2, 6))
FOLDS = 5
SHUFFLES = 20


@dataclass(frozen=True)
class Probe:
    """The probe of one layer.

    Attributes:
        r2: share of the running count's variance, position and the word's own membership taken out, that is predicted
            for lists of unseen words.
        r2_with_position: the same without taking them out, which they alone can make large.
        r2_position: what position alone predicts. r2_shuffled: the 95 % quantile over probes trained on counts that
            were shuffled over lists within each position and kind of word.
        direction: change of the residual that goes with one more word, ``[width]``.
        cosine: of this direction and the one along which the numbers' output rows rise. penalty: of the ridge.
    """

    layer: int
    r2: float
    r2_with_position: float
    r2_position: float
    r2_shuffled: float
    penalty: float
    direction: Floats
    cosine: float

    def record(self) -> dict[str, Any]:
        """Return all but the direction."""
        names = ("layer", "r2", "r2_with_position", "r2_position", "r2_shuffled", "penalty", "cosine")
        return {name: getattr(self, name) for name in names}


def probes(running: pd.DataFrame, digits: pd.DataFrame, seed: int) -> list[Probe]:
    """Return a probe for each layer of measured residuals.

    The count and the residual are centred within each position of the list and by whether the word there is of the
    category (Frisch-Waugh: this is the same as both and their product as further regressors); means come from the
    training lists. So neither position nor the word itself, which the count includes, is taken for a running count:
    what is left is how many were counted before. Words of which no training list has the like are not tested on. The
    ridge's penalty is chosen over folds of whole training lists. The direction is the probe's pattern,
    cov(x) w / var(w x), for weights alone may point where nothing varies (S. Haufe et al., NeuroImage 87, 2014).
    """
    rows = np.stack([np.frombuffer(row, np.float32) for row in digits["row"]]).astype(np.float64)
    numbers = digits["number"].to_numpy(dtype=np.float64)
    rising = (numbers - numbers.mean()) @ rows
    train = (running["split"] == "train").to_numpy()
    index, lists = running["index"].to_numpy(), running["list"].to_numpy()
    count = running["count"].to_numpy(dtype=np.float64)
    by_position = count - _centred(count, index, train)
    group = 2 * index + running["member"].to_numpy(dtype=np.intp)
    test = ~train & np.isin(group, group[train])
    y = _centred(count, group, train)
    expected = (count - y)[test]
    found = []
    layers = sorted(int(name.split("_")[1]) for name in running.columns if name.startswith("residual_"))
    for layer in layers:
        raw = np.stack([np.frombuffer(each, np.float32) for each in running[f"residual_{layer}"]]).astype(np.float64)
        x = _centred(raw, group, train)
        ridge = _Ridge(x[train], lists[train])
        penalty = ridge.best(y[train])
        weights = ridge.weights(y[train], penalty)
        rng = np.random.default_rng(seed)
        shuffled = [
            _r2(y[test], x[test] @ ridge.weights(_shuffled(y[train], group[train], rng), penalty))
            for _ in range(SHUFFLES)
        ]
        spread = float(np.var(x[train] @ weights))
        pattern = x[train].T @ (x[train] @ weights) / train.sum() / spread if spread > 0 else np.zeros(x.shape[1])
        predicted = expected + x[test] @ weights
        found.append(
            Probe(
                layer, _r2(y[test], x[test] @ weights), _r2(count[test], predicted, centre=True),
                _r2(count[test], by_position[test], centre=True), float(np.quantile(shuffled, 0.95)), penalty, pattern,
                _cosine(pattern, rising),
            )
        )  # fmt: skip
    return found


class _Ridge:
    """Ridge regressions of one set of regressors, with whole lists left out."""

    def __init__(self, x: Floats, lists: NDArray[np.intp]) -> None:
        self.x, self.folds = x, np.unique(lists, return_inverse=True)[1] % FOLDS
        self._whole = np.linalg.svd(x, full_matrices=False)

    def weights(self, y: Floats, penalty: float) -> Floats:
        return _solved(self._whole, y, penalty)

    def best(self, y: Floats) -> float:
        """Return the penalty with the least error on lists left out."""
        errors = np.zeros(len(PENALTIES))
        for fold in range(FOLDS):
            held = self.folds == fold
            parts = np.linalg.svd(self.x[~held], full_matrices=False)
            for number, penalty in enumerate(PENALTIES):
                errors[number] += float(((y[held] - self.x[held] @ _solved(parts, y[~held], penalty)) ** 2).sum())
        return PENALTIES[int(errors.argmin())]


def _solved(parts: Any, y: Floats, penalty: float) -> Floats:
    u, s, vt = parts
    scale = penalty * float((s**2).mean()) / 100.0
    found: Floats = vt.T @ (s / (s**2 + scale) * (u.T @ y))
    return found


def _centred(values: Floats, group: NDArray[np.intp], train: NDArray[np.bool_]) -> Floats:
    """Return values less the mean of the training lists' values of the same group."""
    found = values.astype(np.float64).copy()
    for k in np.unique(group):
        here = group == k
        reference = values[here & train] if (here & train).any() else values[train]
        found[here] -= reference.mean(axis=0)
    return found


def _shuffled(y: Floats, group: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    found = y.copy()
    for k in np.unique(group):
        here = np.flatnonzero(group == k)
        found[here] = y[rng.permutation(here)]
    return found


def _r2(y: Floats, predicted: Floats, centre: bool = False) -> float:
    total = float((((y - y.mean()) if centre else y) ** 2).sum())
    return 1.0 - float(((y - predicted) ** 2).sum()) / total if total > 0 else float("nan")


def _cosine(a: Floats, b: Floats) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else float("nan")
