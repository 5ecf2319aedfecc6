"""What a mediation study shows in the report: conclusions, the strongest cells, controls and maps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis.mediation.estimates import said
from lmx_analysis.sections import Cell, Picture, Section, Table

STRONGEST = 12
CAPTIONS = {
    "map_residual": "Residual stream: indirect effect / total effect by layer (down) and place (across). Hatched cells "
    "are 1 by construction, controls, or in too few pairs; nothing is concluded from them.",
    "map_attention": "Attention output: indirect effect / total effect by layer and place.",
    "map_mlp": "MLP output: indirect effect / total effect by layer and place.",
    "map_heads": "Heads: indirect effect / total effect by layer (down) and head (across), of the places with the "
    "largest shares. Hatched cells say nothing.",
    "map_residual_interaction": "Residual stream: interaction (TE - NDE - NIE) / total effect. Below 0 there are "
    "copies; above 0 two places are both needed.",
    "layer_importance_residual": "Residual stream: share by layer and place with 95 % intervals over pairs, without "
    "cells by construction.",
    "layer_importance_head": "The best head of each layer and place, with 95 % intervals over pairs.",
    "count_transfer": "Count transfer: how far the answer moves for each word by which an unrelated list differs.",
    "running_count_probe": "What a linear probe reads of the running count where words end, position and the word "
    "itself taken out.",
}  # fmt: skip


def section(document: Mapping[str, Any], cells: pd.DataFrame, files: Collection[str]) -> Section:
    """Return the report's section of a study.

    Args:
        document: what `mediation_results.json` holds. cells: one row a cell, see `estimates.table`.
        files: names of the files that are written; pictures that are not among them are left out.
    """
    pairs = document["pairs"]
    about = (
        f"{pairs['all']} pairs of prompts that differ in one word, so that the count moves by one; right on both: "
        f"{pairs.get('right', 0)}. Shown: {document['pairs_used']}. Mean total effect: {document['total_effect']:.2f} "
        "logits. Shares are sums over pairs of the indirect effect / of the total effect."
    )
    return Section(
        analysis="mediate",
        title=f"Where {document['model']} keeps the count: {document['task']}",
        text=[*document["conclusions"], about],
        tables=[_strongest(cells, document["p_is"]), _by_layer(document), _marked(cells), _controls(document)],
        pictures=[
            Picture(file=f"{name}.png", caption=text) for name, text in CAPTIONS.items() if f"{name}.png" in files
        ],
    )


def _strongest(cells: pd.DataFrame, tested: str) -> Table:
    free = said(cells)
    best = free.loc[free["proportion_mediated"].abs().sort_values(ascending=False).index[:STRONGEST]]
    rows: list[list[Cell]] = [
        [
            row.component, int(row.layer), None if row.head < 0 else int(row.head), str(row.role).replace("_", " "),
            _number(row.proportion_mediated), _number(row.proportion_mediated_low),
            _number(row.proportion_mediated_high), _number(row.interaction_share), _number(row.p_max_t, 5),
        ]
        for row in best.itertuples()
    ]  # fmt: skip
    names = ["component", "layer", "head", "place", "share", "from", "to", "interaction", "p"]
    note = (
        "Cells by construction are left out, and such as nothing is concluded from. From, to: 95 % interval over "
        f"pairs, bootstrap-t or Fieller's where wider. p: {tested}."
    )
    return Table(title="Strongest cells", columns=names, rows=rows, note=note)


def _by_layer(document: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [
            component, each["layer"], str(each["role"]).replace("_", " "), each["head"], _number(each["total_effect"]),
            _number(each["indirect_effect"]), _number(each["direct_effect"]), _number(each["interaction"]),
            _number(each["proportion_mediated"]), each["best_place"], _number(each["best_place_proportion_mediated"]),
        ]
        for component, layers in document["layers_by_component"].items()
        for each in layers
    ]  # fmt: skip
    names = ["component", "layer", "place", "head", "total", "indirect", "direct", "interaction", "share",
             "best single place", "its share"]  # fmt: skip
    note = (
        "The role with the largest share in each layer, of cells that are not by construction, and the single place "
        "with the largest. Effects in logits."
    )
    return Table(title="By layer", columns=names, rows=rows[:2000], note=note)


def _marked(cells: pd.DataFrame) -> Table:
    marked = cells[cells["by_construction"] != ""]
    rows: list[list[Cell]] = [
        [str(why), len(part), ", ".join(sorted(set(part["role"]))).replace("_", " "),
         ", ".join(str(layer) for layer in sorted(set(part["layer"])))]
        for why, part in marked.groupby("by_construction", sort=True)
    ]  # fmt: skip
    note = "Hatched in the maps; they take part in no maximum, test or conclusion."
    return Table(title="Cells that say nothing", columns=["why", "cells", "places", "layers"], rows=rows, note=note)


def _controls(document: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [str(name).replace("_", " "), each if isinstance(each, int) else _number(each, 6)]
        for name, each in document["controls"].items()
    ]
    rows.append(["pairs with low total effect", document["pairs_with_low_total_effect"]])
    rows += [[f"left out: {why}", number] for why, number in document["left_out"].items()]
    return Table(title="Controls, and what was left out", columns=["what", "value"], rows=rows)


def _number(value: Any, digits: int = 3) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), digits)
