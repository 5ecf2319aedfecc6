"""Single places within a role: a mean over ten separators hides the one that carries the count."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from lmx_analysis.mediation.cells import cells_of
from lmx_analysis.mediation.estimates import Settings, Tested, said, table

PLACES = ("later_item", "later_separator", "last_separator", "last_item", "after")
"""Roles of which a prompt may have several places, and the two that end a list."""
COMPONENTS = ("residual", "attention", "mlp")
"""Those that are looked at by place; heads would be ten times as many."""


def column_table(
    effects: pd.DataFrame, pairs: pd.DataFrame, layers: int, kept: pd.Series, asked: Collection[str],
    settings: Settings, tested: Tested,
) -> pd.DataFrame:  # fmt: skip
    """Return one row a component, layer and column of the map (``sep+2``), as `estimates.table` does for roles.

    The column's `role` is beside it. p is corrected over the columns.
    """
    components = [name for name in COMPONENTS if name in asked]
    rows = effects[effects["role"].isin(PLACES) & effects["component"].isin(components)]
    rows = rows[rows["pair"].isin(pairs.loc[kept, "pair"])]
    if not len(rows):
        return pd.DataFrame()
    roles = rows.drop_duplicates("column").set_index("column")["role"]
    # here each column is a role of its own; none of these is ever 1 by construction
    found = table(cells_of(rows.assign(role=rows["column"]), pairs, layers, kept), settings, tested)
    found = found.rename(columns={"role": "column"})
    return found.assign(role=found["column"].map(roles))


def best_columns(columns: pd.DataFrame) -> dict[tuple[str, int], pd.Series]:
    """Return by component and layer the column with the largest share of those that can be concluded from."""
    if not len(columns):
        return {}
    free = said(columns)
    best = free.loc[free.groupby(["component", "layer"])["proportion_mediated"].idxmax()]
    return {(str(row["component"]), int(row["layer"])): row for _, row in best.iterrows()}
