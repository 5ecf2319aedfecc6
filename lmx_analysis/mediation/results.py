"""The results of a mediation study: tables, `mediation_results.json`, conclusions in words, pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis.mediation import extras, maps
from lmx_analysis.mediation.cells import cells_of
from lmx_analysis.mediation.estimates import Settings, low_pairs, table
from lmx_analysis.stats import LEVEL
from lmx_analysis.tables import csv_text, json_text
from lmx_files import jsonl
from lmx_files.errors import UserError

STUDY = "mediation_study.json"
RUNNING = ("swapped_separator", "later_item", "later_separator", "last_separator", "last_item")
"""Roles that carry a running count, if there is one: behind the word that differs, before the list ends."""


def read(folder: Path) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Return the study's settings and its tables (effects, pairs, controls and those of its extras).

    Raises:
        UserError: the folder holds no measured study.
    """
    if not (folder / "effects.parquet").is_file() or not (folder / STUDY).is_file():
        raise UserError(f"{folder} holds no finished measurement (effects.parquet): run `lmx mediate RUN -o {folder}`")
    tables = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            tables[path.stem] = pd.read_parquet(path)
        except Exception as error:  # pyarrow's own errors
            raise UserError(f"cannot read {path}: not a Parquet file ({error}). Measure again") from error
    return jsonl.read_object(folder / STUDY), tables


def kept_of(pairs: pd.DataFrame) -> dict[str, pd.Series]:
    """Return which pairs each set holds: those that move the count, all of them and those answered right twice."""
    moves = pairs["moves"]
    return {"right": moves & pairs["right_base"] & pairs["right_source"], "all": moves}


def analyse(study: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], settings: Settings) -> dict[str, Any]:
    """Return tables of cells by set of pairs and what `mediation_results.json` holds."""
    effects, pairs = tables["effects"], tables["pairs"]
    layers, asked = int(study["layers"]), study["settings"]["components"]
    found: dict[str, pd.DataFrame] = {}
    for name, kept in kept_of(pairs).items():
        if int(kept.sum()) > 1:
            found[name] = table(cells_of(effects, pairs, layers, kept, asked), settings)
    if not found:
        raise UserError("fewer than two pairs move the count: there is nothing to estimate. Measure more with --pairs")
    main = "right" if "right" in found else "all"
    beside = extras.extra_tables(tables, settings)
    document = {
        **{name: study[name] for name in ("model", "task", "layers", "heads", "left_out", "answers_with_space")},
        "metric": "z(answer of x') - z(answer of x), logits at the answer's token",
        "pairs": {name: int(kept.sum()) for name, kept in kept_of(pairs).items()},
        "pairs_with_low_total_effect": low_pairs(pairs),
        "pairs_used": main,
        "total_effect": float(pairs.loc[kept_of(pairs)[main], "te"].mean()),
        "layers_by_component": by_layer(found[main]),
        "controls": control_summary(tables, found[main]),
        **{name: each.to_dict("records") for name, each in beside.items()},
        "conclusions": conclusions(found[main]) + extras.sentences(beside),
        "settings": {**asdict(settings), "confidence": LEVEL, "measured": study["settings"]},
    }
    return {"cells": found, "document": document, "main": main, "extras": beside}


def by_layer(cells: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return for each component and layer the study's fields, of the role with the largest share that is not marked."""
    found: dict[str, list[dict[str, Any]]] = {}
    free = cells[cells["by_construction"] == ""]
    for (component, layer), part in free.groupby(["component", "layer"], sort=True):
        best = part.loc[part["proportion_mediated"].abs().idxmax()]
        found.setdefault(str(component), []).append(
            {
                "layer": int(layer),
                "role": best["role"],
                "head": None if best["head"] < 0 else int(best["head"]),
                "total_effect": float(best["te"]),
                "indirect_effect": float(best["nie"]),
                "direct_effect": float(best["nde"]),
                "total_indirect_effect": float(best["tie"]),
                "interaction": float(best["interaction"]),
                "proportion_mediated": float(best["proportion_mediated"]),
                "proportion_mediated_interval": [
                    float(best["proportion_mediated_low"]), float(best["proportion_mediated_high"]),
                ],
                "p_max_t": float(best["p_max_t"]),
            }
        )  # fmt: skip
    return found


def control_summary(tables: Mapping[str, pd.DataFrame], cells: pd.DataFrame) -> dict[str, Any]:
    """Return what controls did: the base's own activations, other positions, words of the same kind."""
    controls, pairs = tables["controls"], tables["pairs"]
    change = controls.groupby("control")["change"].agg(lambda values: float(values.abs().max()))
    same = pairs[~pairs["moves"]]
    before = cells[cells["role"] == "before"]["proportion_mediated"].abs()
    moved = float(pairs.loc[pairs["moves"], "te"].abs().mean())
    return {
        "self_patch_largest_change": float(change.get("self", np.nan)),
        "patch_from_elsewhere_mean_change": float(
            controls.loc[controls["control"] == "elsewhere", "change"].abs().mean()
        ),
        "position_before_the_word_largest_share": float(before.max()) if len(before) else None,
        "same_kind_pairs": len(same),
        "same_kind_total_effect_relative": float(same["te"].abs().mean()) / moved if len(same) and moved else None,
    }


def conclusions(cells: pd.DataFrame) -> list[str]:
    """Return in words what the cells that are not marked show."""
    free = cells[(cells["by_construction"] == "") & cells["proportion_mediated"].notna()]
    said = []
    for component, part in free.groupby("component", sort=False):
        best = part.loc[part["proportion_mediated"].idxmax()]
        head = "" if best["head"] < 0 else f" {int(best['head'])}"
        said.append(
            f"{component}{head}: the largest share is {_share(best)} at layer {int(best['layer'])}, "
            f"{str(best['role']).replace('_', ' ')} (p over the grid {best['p_max_t']:.4f})"
        )
    running = free[(free["component"] == "residual") & free["role"].isin(RUNNING)]
    if len(running):
        best = running.loc[running["proportion_mediated"].idxmax()]
        verdict = "carries part of the effect, as a running count would" if (
            best["proportion_mediated_low"] > 0.05
        ) else "does not carry the effect: no running count is seen there"  # fmt: skip
        said.append(
            f"between the word and the end of the list the residual stream {verdict} (at most {_share(best)}, layer "
            f"{int(best['layer'])}, {str(best['role']).replace('_', ' ')})"
        )
    marked = int((cells["by_construction"] != "").sum())
    said.append(f"{marked} of {len(cells)} cells are 1 by construction or controls, hatched and left out of this")
    return said


def _share(row: pd.Series) -> str:
    low, high = row["proportion_mediated_low"], row["proportion_mediated_high"]
    interval = "" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    return f"{row['proportion_mediated']:.2f}{interval}"


def files(found: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], plots: bool) -> dict[str, str | bytes]:
    """Return all files of the analysis, by name."""
    written: dict[str, str | bytes] = {}
    for name, cells in found["cells"].items():
        out = io.BytesIO()
        cells.to_parquet(out, index=False)
        written[f"cells_{name}.parquet"] = out.getvalue()
        written[f"cells_{name}.csv"] = csv_text(cells.to_dict("records"))
    for name, each in found["extras"].items():
        written[f"{name}.csv"] = csv_text(each.to_dict("records"))
    if plots:
        written |= extras.pictures(found["extras"])
        cells = found["cells"][found["main"]]
        kept = tables["pairs"]["pair"][kept_of(tables["pairs"])[found["main"]]]
        effects = tables["effects"][tables["effects"]["pair"].isin(kept)]
        for component in [each for each in ("residual", "attention", "mlp") if each in set(cells["component"])]:
            written |= maps.position_map(effects, cells, component, "nie")
            if effects["interaction"].notna().any():
                written |= maps.position_map(effects, cells, component, "interaction")
        for component in dict.fromkeys(cells["component"]):
            written |= maps.layer_importance(cells, component)
        if (cells["component"] == "head").any():
            written |= maps.head_map(cells)
    return written | {"mediation_results.json": json_text(found["document"])}
