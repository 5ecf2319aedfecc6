"""Simulated studies of guided decoding of which the truth is known, and the curve's former method.

A document has a difficulty, and its answer is right with a chance that depends on it and on the accuracy that the
setting has over all documents (a probit model, so that the mean over documents is exactly that accuracy). Texts have
lengths of their own, and the oracle writes about the setting's share of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.guided_curve.design import Cells

Floats = NDArray[np.float64]
SPREAD = 1.0
"""Of difficulties, in standard deviations of an answer's own chance."""


def cells(rng: np.random.Generator, difficulty: Floats, share: float, accuracy: float, seeds: int = 1) -> Cells:
    """Return the answers of one setting, `seeds` to each document, difficulties of shape ``[documents]``."""
    shape = (seeds, difficulty.size)
    chance = stats.norm.cdf(stats.norm.ppf(accuracy) * np.sqrt(1 + SPREAD**2) - SPREAD * difficulty)
    total = np.ceil(rng.lognormal(4.5, 0.5, shape))
    part = np.full(shape, share) if share in (0.0, 1.0) else rng.beta(10 * share, 10 * (1 - share), shape)
    return Cells((rng.random(shape) < chance).astype(float), np.round(total * part), total)


@dataclass(frozen=True)
class Former:
    """Estimates of one group with the former method, observed first: shape ``[1 + resamples]``."""

    share: Floats
    accuracy: Floats


def former(groups: Sequence[Cells], resamples: int, seed: int) -> list[Former]:
    """Return the groups' estimates by the pigeonhole bootstrap: documents and seeds drawn independently."""
    rng = np.random.default_rng(seed)
    n = groups[0].correct.shape[1]
    documents = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=resamples)])
    found = []
    for each in groups:
        s = len(each.correct)
        seeds = np.vstack([np.ones(s), rng.multinomial(s, np.full(s, 1 / s), size=resamples)])
        right, oracle, total = (
            ((documents @ values.T) * seeds).sum(axis=1) for values in (each.correct, each.oracle, each.total)
        )
        found.append(Former(oracle / total, right / (n * s)))
    return found


def percentile(values: Floats) -> tuple[float, float]:
    """Return the former interval: none (NaN) for one undefined resample, or for equal ones."""
    if not np.isfinite(values).all() or not np.ptp(values[1:]) > 1e-12:
        return np.nan, np.nan
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return float(low), float(high)


def line(groups: Sequence[Former]) -> tuple[Floats, Floats]:
    """Return shares and accuracies in the order of shares in each resample, shape ``[1 + resamples, points]``."""
    shares = np.stack([each.share for each in groups], axis=1)
    accuracies = np.stack([each.accuracy for each in groups], axis=1)
    order = np.argsort(shares, axis=1, kind="stable")
    return np.take_along_axis(shares, order, axis=1), np.take_along_axis(accuracies, order, axis=1)


def former_area(groups: Sequence[Former], base: Former, oracle: Former) -> Floats:
    """Return the area under the recovered gap from share 0 to 1, by trapezoids through both ends."""
    shares, accuracies = line([base, *groups, oracle])
    gap = oracle.accuracy - base.accuracy
    with np.errstate(divide="ignore", invalid="ignore"):
        recovered = np.where(np.abs(gap) > 1e-12, (accuracies - base.accuracy[:, None]).T / gap, np.nan).T
    return ((recovered[:, 1:] + recovered[:, :-1]) / 2 * np.diff(shares, axis=1)).sum(axis=1)


def former_lead(point: Former, control: Sequence[Former]) -> Floats:
    """Return the lead over the line through the control, ends included, at the point's share, however far away."""
    shares, accuracies = line(control)
    at = point.share[:, None]
    left = np.clip((shares <= at).sum(axis=1) - 1, 0, shares.shape[1] - 2)[:, None]
    (x0, y0), (x1, y1) = (
        tuple(np.take_along_axis(each, left + step, axis=1)[:, 0] for each in (shares, accuracies)) for step in (0, 1)
    )
    weight = np.clip((point.share - x0) / np.maximum(x1 - x0, 1e-12), 0, 1)
    return point.accuracy - (y0 + weight * (y1 - y0))
