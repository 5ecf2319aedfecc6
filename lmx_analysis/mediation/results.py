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
from lmx_analysis.mediation.columns import best_columns, column_table
from lmx_analysis.mediation.conclusions import conclusions
from lmx_analysis.mediation.estimates import Selection, Settings, Tested, how_tested, low_pairs, said, table
from lmx_analysis.stats import LEVEL
from lmx_analysis.tables import csv_text, json_text
from lmx_files import jsonl
from lmx_files.errors import UserError

STUDY = "mediation_study.json"
ENOUGH = 10
"""Pairs that were answered right on both prompts, from which these alone are shown."""
ANSWERED = 0.5
"""Probability that a number follows, below which a reader is warned."""


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
    selection = _selection(study, tables)
    found: dict[str, pd.DataFrame] = {}
    tested: dict[str, Tested] = {}
    for name, kept in kept_of(pairs).items():
        if int(kept.sum()) > 1:
            cells = cells_of(effects, pairs, layers, kept, asked)
            tested[name] = how_tested(cells.pairs, selection)
            found[name] = table(cells, settings, tested[name])
    if not found:
        raise UserError("fewer than two pairs move the count: there is nothing to estimate. Measure more with --pairs")
    main, notes = main_set(kept_of(pairs), found)
    kept, how = kept_of(pairs)[main], tested[main]
    columns = column_table(effects, pairs, layers, kept, asked, settings, how)
    beside = extras.extra_tables(tables, settings)
    mass = answer_mass(pairs)
    document = {
        **{name: study[name] for name in ("model", "task", "layers", "heads", "left_out", "answers_with_space")},
        "metric": "z(answer of x') - z(answer of x), logits at the answer's token",
        "pairs": {name: int(kept.sum()) for name, kept in kept_of(pairs).items()},
        "pairs_with_low_total_effect": low_pairs(pairs),
        "pairs_used": main,
        "total_effect": float(pairs.loc[kept, "te"].mean()),
        "probability_of_a_number_at_the_answer": mass,
        "p_is": how.how,
        "layers_by_component": by_layer(found[main], columns),
        "controls": control_summary(tables, found[main]),
        **{name: each.to_dict("records") for name, each in beside.items()},
        "conclusions": [
            *warnings_of(mass), *notes, *conclusions(found[main], how.how, columns), *extras.sentences(beside),
        ],
        "settings": {**asdict(settings), "confidence": LEVEL, "measured": study["settings"]},
    }  # fmt: skip
    return {"cells": found, "columns": columns, "document": document, "main": main, "extras": beside}


def _selection(study: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Selection | None:
    """Return what the screen of a screened study chose; None for a study of all cells."""
    if "screen" not in tables or float(study["settings"]["screen"]) >= 1:
        return None
    screen, pairs = tables["screen"], tables["pairs"]
    ranked = screen[screen["ranked"]] if "ranked" in screen else screen
    seen = pairs.loc[pairs["screened"], "pair"] if "screened" in pairs else pairs["pair"]
    return Selection(frozenset(map(int, seen)), float(ranked["chosen"].mean()) if len(ranked) else 1.0)


def main_set(kept: Mapping[str, pd.Series], found: Mapping[str, pd.DataFrame]) -> tuple[str, list[str]]:
    """Return the set of pairs that is shown, and why it is not the one that was answered right."""
    right, every = int(kept["right"].sum()), int(kept["all"].sum())
    if "right" in found and (right >= ENOUGH or right == every):
        return "right", []
    return "all", [
        f"all pairs are shown: {right} of {every} were answered right on both prompts, and {ENOUGH} are needed to go "
        "by these alone"
    ]


def answer_mass(pairs: pd.DataFrame) -> float | None:
    """Return the mean probability, over pairs and both prompts, that a number follows; None where it is not known."""
    if "numbers_base" not in pairs:
        return None
    return float(pairs[["numbers_base", "numbers_source"]].to_numpy(dtype=np.float64).mean())


def warnings_of(mass: float | None) -> list[str]:
    if mass is None or mass >= ANSWERED:
        return []
    return [
        f"warning: where the answer should begin the model holds a number for {mass:.1%} likely only, so it would "
        "begin otherwise: effects are on numbers that it would not say there, and may mean nothing"
    ]


def by_layer(cells: pd.DataFrame, columns: pd.DataFrame | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return for each component and layer the study's fields, of the role with the largest share.

    Cells by construction and such as nothing is concluded from are left out. ``best_place``: the single column with the
    largest share, where `columns` has some.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    free = said(cells)
    places = best_columns(pd.DataFrame() if columns is None else columns)
    for (component, layer), part in free.groupby(["component", "layer"], sort=True):
        best = part.loc[part["proportion_mediated"].abs().idxmax()]
        place = places.get((str(component), int(layer)))
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
                "best_place": None if place is None else str(place["column"]),
                "best_place_proportion_mediated": None if place is None else float(place["proportion_mediated"]),
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
        "self_patch_computed_again_largest_change": float(change.get("self_run", np.nan)),
        "patch_from_elsewhere_mean_change": float(
            controls.loc[controls["control"] == "elsewhere", "change"].abs().mean()
        ),
        "position_before_the_word_largest_share": float(before.max()) if len(before) else None,
        "same_kind_pairs": len(same),
        "same_kind_total_effect_relative": float(same["te"].abs().mean()) / moved if len(same) and moved else None,
    }


def files(found: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], plots: bool) -> dict[str, str | bytes]:
    """Return all files of the analysis, by name."""
    written: dict[str, str | bytes] = {}
    for name, cells in found["cells"].items():
        out = io.BytesIO()
        cells.to_parquet(out, index=False)
        written[f"cells_{name}.parquet"] = out.getvalue()
        written[f"cells_{name}.csv"] = csv_text(cells.to_dict("records"))
    if len(found["columns"]):
        written["places.csv"] = csv_text(found["columns"].to_dict("records"))
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
