"""Pictures of effects: position by layer, heads, and the layers' importance. Hatched: nothing is concluded.

Those are cells by construction, such as `nothing_concluded` names, and columns that fewer than six pairs have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmx_analysis.figures import COLOURS, new_figure, rendered
from lmx_analysis.mediation.estimates import said
from lmx_analysis.stats.signflip import MIN_CLUSTERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "residual": "residual stream", "attention": "attention output", "mlp": "MLP output", "head": "head inputs",
}  # fmt: skip


def column_order(columns: Sequence[str]) -> list[str]:
    """Return a map's columns from left to right, as they stand in a prompt."""

    def place(column: str) -> tuple[int, int, int]:
        if column.startswith(("item+", "sep+")):
            kind, number = column.split("+")
            return 0, int(number), int(kind == "sep")
        order = ("last sep", "last item", "list end")
        if column in order:
            return 1, order.index(column), 0
        return (2, int(column.split("+")[1]), 0) if column.startswith("after+") else (3, 0, 0)

    return sorted(columns, key=place)


def position_map(effects: pd.DataFrame, cells: pd.DataFrame, component: str, effect: str) -> dict[str, bytes]:
    """Return the map of one component: share of the total effect by layer and place.

    Args:
        effects: one row a pair and place. cells: the table of cells, for the marks. effect: ``nie`` or ``interaction``.
    """
    rows = effects[(effects["component"] == component) & ~effects["role"].isin(("all", "before"))]
    if not len(rows):
        return {}
    sums = rows.groupby(["layer", "column"])[[effect, "te"]].sum()
    share = (sums[effect] / sums["te"]).unstack()
    share = share[column_order(list(share.columns))]
    roles = rows.drop_duplicates("column").set_index("column")["role"].to_dict()
    silent = cells[cells["component"] == component].drop(said(cells).index, errors="ignore")
    marked = {(row.layer, row.role) for row in silent.itertuples()}
    few = rows.groupby(["layer", "column"])["pair"].nunique() < MIN_CLUSTERS
    figure = new_figure(max(5.0, 0.36 * share.shape[1] + 2), max(2.4, 0.24 * share.shape[0] + 1.6))
    axes = figure.add_subplot()
    _image(axes, share.to_numpy(), figure)
    for y, layer in enumerate(share.index):
        for x, column in enumerate(share.columns):
            if (layer, roles[column]) in marked or few.get((layer, column), False):
                _hatched(axes, x, y)
    axes.set_xticks(range(share.shape[1]), list(share.columns), rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(share.shape[0]), [str(layer) for layer in share.index], fontsize=7)
    axes.set_ylabel("layer")
    what = "indirect effect" if effect == "nie" else effect
    axes.set_title(f"{NAMES[component]}: {what} / total effect (hatched: nothing is concluded)", fontsize=9)
    suffix = "" if effect == "nie" else f"_{effect}"
    return rendered(figure, f"map_{component}{suffix}")


def head_map(cells: pd.DataFrame) -> dict[str, bytes]:
    """Return the map of heads: a panel for each role that has an effect, layers down and heads across."""
    heads = cells[cells["component"] == "head"]
    largest = said(heads).groupby("role")["proportion_mediated"].agg(lambda values: values.abs().max())
    roles = list(largest.sort_values(ascending=False).index[:4])
    if not roles:
        return {}
    figure = new_figure(2.8 * len(roles) + 1, max(2.6, 0.2 * heads["layer"].nunique() + 1.6))
    panels = np.atleast_1d(figure.subplots(1, len(roles)))
    for axes, role in zip(panels, roles, strict=True):
        part = heads[heads["role"] == role].pivot(index="layer", columns="head", values="proportion_mediated")
        _image(axes, part.to_numpy(), figure if axes is panels[-1] else None)
        for row in heads[heads["role"] == role].drop(said(heads).index, errors="ignore").itertuples():
            _hatched(axes, list(part.columns).index(row.head), list(part.index).index(row.layer))
        axes.set_title(role.replace("_", " "), fontsize=9)
        axes.set_xticks(range(part.shape[1]), [str(each) for each in part.columns], fontsize=6)
        axes.set_yticks(range(part.shape[0]), [str(each) for each in part.index], fontsize=6)
        axes.set_xlabel("head", fontsize=8)
    panels[0].set_ylabel("layer", fontsize=8)
    return rendered(figure, "map_heads")


def layer_importance(cells: pd.DataFrame, component: str) -> dict[str, bytes]:
    """Return the picture of one component's layers: share mediated by role, with 95 % intervals.

    Cells that are marked, or from which nothing is concluded, are left out; none is left: no picture.
    """
    rows = said(cells[cells["component"] == component])
    if not len(rows):
        return {}
    if component == "head":
        rows = rows.loc[rows.groupby(["layer", "role"])["proportion_mediated"].idxmax()]
    order = rows.groupby("role")["proportion_mediated"].agg(lambda values: values.abs().max())
    roles = list(order.sort_values(ascending=False).index[:6])
    figure = new_figure(7, 3.6)
    axes = figure.add_subplot()
    for number, role in enumerate(roles):
        part = rows[rows["role"] == role].sort_values("layer")
        middle = part["proportion_mediated"].to_numpy()
        low = np.nan_to_num(middle - part["proportion_mediated_low"].to_numpy())
        high = np.nan_to_num(part["proportion_mediated_high"].to_numpy() - middle)
        axes.errorbar(
            part["layer"] + 0.06 * (number - len(roles) / 2), middle, yerr=[np.maximum(low, 0), np.maximum(high, 0)],
            marker="o", markersize=3, capsize=2, linewidth=1, color=COLOURS[number % len(COLOURS)],
            label=role.replace("_", " "),
        )  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(sorted(rows["layer"].unique()))
    axes.set_xlabel("layer")
    axes.set_ylabel("indirect / total effect")
    best = ", best head" if component == "head" else ""
    axes.set_title(f"{NAMES[component]}{best}: cells by construction left out, 95 % intervals over pairs", fontsize=9)
    axes.legend(fontsize=7)
    return rendered(figure, f"layer_importance_{component}")


def _image(axes: Axes, values: Any, figure: Any) -> None:
    shown = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    if figure is not None:
        figure.colorbar(shown, ax=axes, shrink=0.9)


def _hatched(axes: Axes, x: int, y: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="////", edgecolor="0.35", linewidth=0))
