"""Shares of the total effect with intervals, and tests corrected over the whole grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.mediation.cells import Cells
from lmx_analysis.stats import LEVEL, Interval, cluster_bootstrap, flip_statistics, max_t

Floats = NDArray[np.float64]
SHARES = {"proportion_mediated": "nie", "direct_share": "nde", "tie_share": "tie", "interaction_share": "interaction"}
METHOD = "bootstrap-t over pairs, Fieller's where wider"
LOW = 0.1
"""Pairs whose |TE| is below this share of the median one are counted as low: they weigh little in a ratio of means."""


@dataclass(frozen=True)
class Settings:
    """Draws of the bootstrap and of the sign flips, and their seed."""

    resamples: int = 2_000
    seed: int = 1234


def table(cells: Cells, settings: Settings) -> pd.DataFrame:
    """Return one row a cell: mean effects, shares of the mean total effect with intervals, p and p over the grid.

    Intervals: see `share_intervals`; a pair with all its cells is drawn or not. p tests whether the
    mean indirect effect is 0, by flips of the signs of pairs; `p_max_t` is corrected over all cells that are not marked
    (Westfall and Young, 1993). A share is a ratio of means, sum over pairs / sum of TE.
    """
    found = cells.index.copy()
    found["pairs"] = cells.there.sum(axis=0).astype(int)
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, values in cells.effects.items():
            found[name] = values.sum(axis=0) / cells.there.sum(axis=0)
    groups = np.arange(len(cells.pairs))
    for name, effect in SHARES.items():
        draws = cluster_bootstrap(
            partial(studied, effect=cells.effects[effect], te=cells.effects["te"]), groups, settings.resamples,
            settings.seed,
        )  # fmt: skip
        intervals = share_intervals(draws, cells.effects[effect], cells.effects["te"])
        found[name] = draws[0, 0]
        found[f"{name}_low"] = [each.low for each in intervals]
        found[f"{name}_high"] = [each.high for each in intervals]
    found["p"], found["p_max_t"] = _tested(cells, settings)
    found["by_construction"] = cells.marks
    return found


def studied(weights: Floats, effect: Floats, te: Floats) -> Floats:
    """Return ratios sum(effect) / sum(te) and their standard errors, ``[rows, 2, cells]``.

    Args:
        weights: how often each pair counts, ``[rows, pairs]``. effect, te: ``[pairs, cells]``.

    The standard error is the linearised one of a ratio of means (W. G. Cochran, Sampling Techniques, 3rd ed., 1977,
    section 6.4): the root of sum w (effect - ratio te)^2, over sum(te).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = weights @ te
        ratio = (weights @ effect) / total
        squares = weights @ effect**2 - 2 * ratio * (weights @ (effect * te)) + ratio**2 * (weights @ te**2)
        return np.stack([ratio, np.sqrt(np.maximum(squares, 0.0)) / np.abs(total)], axis=1)


def share_intervals(draws: Floats, effect: Floats, te: Floats) -> list[Interval]:
    """Return the interval of each cell's share: the wider ends of the bootstrap-t and of Fieller's.

    Args:
        draws: ``[1 + resamples, 2, cells]`` of `studied`; observed values first. effect, te: ``[pairs, cells]``.

    Bootstrap-t: (draw - observed) / its standard error is free of the skewness that percentiles keep (P. Hall, The
    Bootstrap and Edgeworth Expansion, 1992, section 3.3). With some dozen pairs it covers too rarely where a few of
    them weigh much, and Fieller's (see `fieller`) too rarely where effects are skewed; both together do well in either
    case (`benchmarks/studies/mediation_coverage.py`). Withheld where nothing varies, a draw is not defined or the mean
    total effect may be 0.
    """
    (value, error), ratios, errors = draws[0], draws[1:, 0], draws[1:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (ratios - value) / errors
    tiny = 1e-9 * np.maximum(np.abs(value), 1e-3)
    lower, upper = fieller(effect, te)
    found = []
    for cell in range(len(value)):
        drawn = t[:, cell]
        if not np.isfinite(value[cell]) or not np.isfinite(ratios[:, cell]).all():
            found.append(Interval.none("not defined in some resamples", METHOD, LEVEL))
        elif not error[cell] > tiny[cell] or not np.isfinite(drawn).all():
            found.append(Interval.none("all values are alike", METHOD, LEVEL))
        elif not np.isfinite(lower[cell]):
            found.append(Interval.none("the mean total effect may be 0", METHOD, LEVEL))
        else:
            high, low = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            ends = value[cell] - low * error[cell], value[cell] - high * error[cell]
            found.append(
                Interval(float(min(ends[0], lower[cell])), float(max(ends[1], upper[cell])), LEVEL, METHOD)
            )  # fmt: skip
    return found


def fieller(effect: Floats, te: Floats) -> tuple[Floats, Floats]:
    """Return the ends ``[cells]`` of Fieller's interval of sum(effect) / sum(te); NaN where the mean of te may be 0.

    All ratios r for which a t-test does not say that the mean of effect - r te differs from 0 (E. C. Fieller, Journal
    of the Royal Statistical Society B 16, 1954, pages 175-185).
    """
    n = len(te)
    with np.errstate(divide="ignore", invalid="ignore"):
        t2 = stats.t.ppf((1 + LEVEL) / 2, n - 1) ** 2 / n
        above, below = effect.mean(axis=0), te.mean(axis=0)
        shared = ((te - below) * (effect - above)).sum(axis=0) / (n - 1)
        a = below**2 - t2 * te.var(axis=0, ddof=1)
        b = below * above - t2 * shared
        root = np.sqrt(np.maximum(b**2 - a * (above**2 - t2 * effect.var(axis=0, ddof=1)), 0.0))
        return np.where(a > 0, (b - root) / a, np.nan), np.where(a > 0, (b + root) / a, np.nan)


def _tested(cells: Cells, settings: Settings) -> tuple[list[float], list[float]]:
    """Return p of a mean indirect effect of 0, and p corrected over the cells that are not marked; NaN for those."""
    p, corrected = np.full(len(cells), np.nan), np.full(len(cells), np.nan)
    open_ = [i for i, mark in enumerate(cells.marks) if not mark]
    if open_ and len(cells.pairs) > 1:
        total = np.nan_to_num(cells.effects["nie"][:, open_])
        observed, null = flip_statistics(total, settings.resamples, settings.seed)
        reached = (null >= observed * (1 - 1e-6)).sum(axis=0)
        p[open_] = (1 + reached) / (len(null) + 1)
        corrected[open_] = max_t(observed, null)
    return list(p), list(corrected)


def low_pairs(pairs: pd.DataFrame) -> int:
    """Return how many pairs that move the count hardly move the metric."""
    te = pairs.loc[pairs["moves"], "te"].abs()
    return int((te < LOW * te.median()).sum()) if len(te) else 0
