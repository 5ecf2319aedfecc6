"""In words what a study shows, and what it does not."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from lmx_analysis.mediation.estimates import NO_EFFECT, said

RUNNING = ("later_separator", "last_separator", "last_item")
"""Roles that carry a running count, if there is one: behind the word that differs, once others have been read, and
before the list ends. The separator behind that word and later words have more to say of it than the count."""
SOME, LITTLE = 0.05, 0.2
"""A running count is seen where a share is above the first, and said not to be where all are below the second."""
LEVEL = 0.05
NOTHING = f"the total effect may be 0: nothing is concluded ({NO_EFFECT}, the interval of a share has no bounds)"


def conclusions(cells: pd.DataFrame, tested: str = "over the grid", columns: pd.DataFrame | None = None) -> list[str]:
    """Return in words what the cells that are not marked show.

    Args:
        cells: one row a cell, see `estimates.table`. tested: how p was made, see `estimates.how_tested`.
        columns: one row a column of the map, see `columns.column_table`.
    """
    columns = pd.DataFrame() if columns is None else columns
    open_ = cells[cells["by_construction"] == ""]
    if len(open_) and (open_["nothing_concluded"] != "").all():
        why = set(open_["nothing_concluded"])
        lines = [NOTHING if NO_EFFECT in why else f"nothing is concluded: all cells are {min(why)}"]
    else:
        lines = []
        for component, part in open_.groupby("component", sort=False):
            lines += _of_component(str(component), part, tested, columns)
        lines += _running(cells, tested, columns)
    left = open_[open_["nothing_concluded"] != ""]
    for why, part in left.groupby("nothing_concluded", sort=True):
        lines.append(f"{len(part)} of {len(cells)} cells are left out: {why}")
    marked = int((cells["by_construction"] != "").sum())
    return [*lines, f"{marked} of {len(cells)} cells are 1 by construction or controls, hatched and left out of this"]


def _of_component(component: str, part: pd.DataFrame, tested: str, columns: pd.DataFrame) -> list[str]:
    free = said(part)
    if not len(free):
        return [f"{component}: nothing is concluded ({part['nothing_concluded'].iloc[0] or 'no effect was measured'})"]
    best = free.loc[free["proportion_mediated"].idxmax()]
    head = "" if best["head"] < 0 else f" {int(best['head'])}"
    lines = [
        f"{component}{head}: the largest share is {_share(best)} at layer {int(best['layer'])}, "
        f"{_words(best['role'])} (p {tested} {best['p_max_t']:.4f})"
    ]
    if len(columns) and len(of := said(columns[columns["component"] == component])):
        place = of.loc[of["proportion_mediated"].idxmax()]
        mean = free[(free["layer"] == place["layer"]) & (free["role"] == place["role"])]["proportion_mediated"]
        if len(mean) and place["proportion_mediated"] > max(2 * float(mean.iloc[0]), float(mean.iloc[0]) + SOME):
            lines.append(
                f"{component}: of single places the largest share is {_share(place)} at layer {int(place['layer'])}, "
                f"{place['column']} (the mean over {_words(place['role'])}s is {float(mean.iloc[0]):.2f})"
            )
    return lines


def _running(cells: pd.DataFrame, tested: str, columns: pd.DataFrame) -> list[str]:
    """Return whether the residual stream carries a running count, by single places where they are known."""
    by_place = columns if len(columns) else cells.assign(column=cells["role"])
    rows = by_place[(by_place["component"] == "residual") & by_place["role"].isin(RUNNING)]
    rows = rows[rows["by_construction"] == ""]
    if not len(rows):
        return []
    free = said(rows)
    where = "between the word and the end of the list"
    if not len(free):
        return [f"{where} nothing is concluded of a running count: {rows['nothing_concluded'].iloc[0]}"]
    # where all pairs agree there is no interval, and the share itself is both its ends
    low = free["proportion_mediated_low"].fillna(free["proportion_mediated"])
    high = free["proportion_mediated_high"].fillna(free["proportion_mediated"])
    seen = free[(low > SOME) & (free["p_max_t"] < LEVEL)]
    if len(seen):
        verdict = "carries part of the effect, as a running count would"
    elif float(high.max()) < LITTLE:
        verdict = "does not carry the effect: no running count is seen there"
    else:
        verdict = "is not shown to carry the effect, nor shown not to: of a running count nothing is concluded"
    best = (seen if len(seen) else free).loc[(seen if len(seen) else free)["proportion_mediated"].idxmax()]
    return [
        f"{where} the residual stream {verdict} (at most {_share(best)}, layer {int(best['layer'])}, "
        f"{_words(best['column'])}, p {tested} {best['p_max_t']:.4f})"
    ]


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _share(row: pd.Series) -> str:
    low, high = row["proportion_mediated_low"], row["proportion_mediated_high"]
    interval = "" if np.isnan(low) or math.isinf(low) else f" [{low:.2f}, {high:.2f}]"
    return f"{row['proportion_mediated']:.2f}{interval}"
