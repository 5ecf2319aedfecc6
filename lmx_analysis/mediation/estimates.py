"""Shares of the total effect with intervals, tests corrected over the whole grid, and where nothing can be said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_analysis.mediation.cells import Cells
from lmx_analysis.stats import Interval, flip_statistics, max_t, ratio_intervals
from lmx_analysis.stats.ratios import ALIKE, MAY_BE_ZERO
from lmx_analysis.stats.signflip import MIN_CLUSTERS

Floats = NDArray[np.float64]
SHARES = {"proportion_mediated": "nie", "direct_share": "nde", "tie_share": "tie", "interaction_share": "interaction"}
LOW = 0.1
"""Pairs whose |TE| is below this share of the median one are counted as low: they weigh little in a ratio of means."""
UNSEEN = 16
"""Pairs that a screen did not see, from which chosen cells are tested on these alone."""
NO_EFFECT = "the mean total effect may be 0"
TOO_FEW = f"in fewer than {MIN_CLUSTERS} pairs"


@dataclass(frozen=True)
class Settings:
    """Draws of the bootstrap and of the sign flips, and their seed."""

    resamples: int = 2_000
    seed: int = 1234


@dataclass(frozen=True)
class Selection:
    """What a screen chose.

    Attributes:
        seen: numbers of the pairs that it read. share: chosen cells, of those that it ranked.
    """

    seen: frozenset[int]
    share: float


@dataclass(frozen=True)
class Tested:
    """On which pairs p is made, by which it is multiplied, and both in words."""

    rows: NDArray[np.bool_]
    factor: float
    how: str


def how_tested(pairs: NDArray[np.intp], selection: Selection | None) -> Tested:
    """Return how cells are tested that may have been chosen by effects of the same pairs.

    Pairs that the screen did not see know nothing of its choice (D. R. Cox, Biometrika 62, 1975: data splitting). Where
    they are fewer than `UNSEEN`, the chosen cells stand for all that were ranked: p is multiplied as Bonferroni does.
    """
    every = np.ones(len(pairs), dtype=bool)
    if selection is None:
        return Tested(every, 1.0, "over the grid")
    unseen = np.array([int(pair) not in selection.seen for pair in pairs], dtype=bool)
    if unseen.sum() >= UNSEEN:
        return Tested(unseen, 1.0, f"over the chosen cells, on the {unseen.sum()} pairs that the screen did not see")
    factor = 1.0 / selection.share if selection.share else 1.0
    return Tested(every, factor, f"over the chosen cells, times {factor:.1f} for their choice on the same pairs")


def table(cells: Cells, settings: Settings, tested: Tested | None = None) -> pd.DataFrame:
    """Return one row a cell: mean effects, shares of the mean total effect with intervals, p and p over the grid.

    Intervals: see `lmx_analysis.stats.ratios.share_intervals`; a pair with all its cells is drawn or not. p tests
    whether the mean indirect effect is 0, by flips of the signs of pairs; `p_max_t` is corrected over all cells that
    are not marked (Westfall and Young, 1993). A share is a ratio of means, sum over pairs / sum of TE.
    `nothing_concluded` says why a cell's share is not to be relied on; empty where it is.
    """
    found = cells.index.copy()
    found["pairs"] = cells.there.sum(axis=0).astype(int)
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, values in cells.effects.items():
            found[name] = values.sum(axis=0) / cells.there.sum(axis=0)
    for name, effect in SHARES.items():
        values, intervals = ratio_intervals(
            cells.effects[effect], cells.effects["te"], settings.resamples, settings.seed
        )  # fmt: skip
        found[name] = values
        found[f"{name}_low"] = [each.low for each in intervals]
        found[f"{name}_high"] = [each.high for each in intervals]
        if effect == "nie":
            found["nothing_concluded"] = _unsaid(found["pairs"].to_numpy(), intervals)
    found["p"], found["p_max_t"] = _p_values(cells, settings, tested or how_tested(cells.pairs, None))
    found["by_construction"] = cells.marks
    return found


def said(table_of_cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that can be concluded from: neither by construction nor unreliable."""
    free = (table_of_cells["by_construction"] == "") & (table_of_cells["nothing_concluded"] == "")
    return table_of_cells[free & table_of_cells["proportion_mediated"].notna()]


def _unsaid(pairs: NDArray[np.intp], intervals: list[Interval]) -> list[str]:
    """Return why nothing is concluded from each cell.

    Where all pairs have the same share there is no interval, but nothing is doubtful either.
    """
    found = []
    for count, interval in zip(pairs, intervals, strict=True):
        if count < MIN_CLUSTERS:
            found.append(TOO_FEW)
        elif interval.withheld in ("", ALIKE):
            found.append("")
        else:
            found.append(NO_EFFECT if interval.withheld == MAY_BE_ZERO else interval.withheld)
    return found


def _p_values(cells: Cells, settings: Settings, tested: Tested) -> tuple[list[float], list[float]]:
    """Return p of a mean indirect effect of 0, and p corrected over the cells that are not marked; NaN for those."""
    p, corrected = np.full(len(cells), np.nan), np.full(len(cells), np.nan)
    open_ = [i for i, mark in enumerate(cells.marks) if not mark]
    if open_ and tested.rows.sum() > 1:
        total = np.nan_to_num(cells.effects["nie"][tested.rows][:, open_])
        observed, null = flip_statistics(total, settings.resamples, settings.seed)
        reached = (null >= observed * (1 - 1e-6)).sum(axis=0)
        p[open_] = np.minimum(1.0, (1 + reached) / (len(null) + 1) * tested.factor)
        corrected[open_] = np.minimum(1.0, np.array(max_t(observed, null)) * tested.factor)
    return list(p), list(corrected)


def low_pairs(pairs: pd.DataFrame) -> int:
    """Return how many pairs that move the count hardly move the metric."""
    te = pairs.loc[pairs["moves"], "te"].abs()
    return int((te < LOW * te.median()).sum()) if len(te) else 0
