"""Intervals for a new task's score that hold at a stated rate, by crepes, and the rate that is measured.

Split conformal (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): each fold's intervals come
from the absolute errors in the other folds, all of them out of fold. Where tasks are exchangeable they hold the true
score at the level, about; the measured coverage says whether they did.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.stats import Interval, wilson
from lmx_files.errors import UserError

Floats = NDArray[np.float64]
LEVEL = 0.9


def require_crepes() -> None:
    """Raise a `UserError` that names the extra if crepes is not installed; call it before any work."""
    if importlib.util.find_spec("crepes") is None:
        raise UserError("intervals need crepes: pip install 'lmx-eval[predict]'")


def intervals(
    true: Floats, predicted: Floats, folds: Sequence[int], low: float, high: float, level: float = LEVEL
) -> Floats:
    """Return the interval of each prediction, shape ``[n, 2]``, cut at the least and greatest score there can be.

    Too few other tasks for the level (below 9 at 0.9) give the whole range of scores, which may be infinite.
    """
    from crepes import ConformalRegressor

    fold = np.asarray(folds)
    found = np.full((true.size, 2), math.nan)
    for number in np.unique(fold):
        own = fold == number
        others = (true - predicted)[~own]
        if others.size < math.ceil(others.size * level + level):
            found[own] = low, high
            continue
        regressor = ConformalRegressor().fit(others)
        found[own] = regressor.predict_int(predicted[own], confidence=level, y_min=low, y_max=high)
    return found


def coverage(true: Floats, found: Floats) -> tuple[float, Interval]:
    """Return the share of scores in their intervals (ends included), with Wilson's interval."""
    inside = (found[:, 0] <= true) & (true <= found[:, 1])
    return float(inside.mean()), wilson(int(inside.sum()), inside.size)
