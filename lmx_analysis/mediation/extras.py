"""Count transfer, the running-count probe and steps along its direction, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_analysis.figures import COLOURS, new_figure, rendered
from lmx_analysis.mediation.estimates import Settings
from lmx_analysis.mediation.probe import Probe, probes
from lmx_analysis.stats import cluster_bootstrap, numbered, percentile

Floats = NDArray[np.float64]


def transfer_table(transfer: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return for each layer and role how far the answer moves with the transferred count.

    ``transferred``: least-squares slope, through the origin, of the shift of the expected count on the difference of
    what had been counted: 1 if the place carries all of it. Intervals: bootstrap over lists. ``follows``: share of
    answers that are the count plus the difference, where there is one; ``shift_without``: mean |shift| where there is
    none.
    """
    rows = []
    for (layer, role), part in transfer.groupby(["layer", "role"], sort=True):
        delta, shift = part["delta"].to_numpy(np.float64), part["shift"].to_numpy(np.float64)
        groups = numbered(part["list"].tolist())

        def slope(weights: Any, delta: Any = delta, shift: Any = shift) -> Any:
            with np.errstate(invalid="ignore", divide="ignore"):
                return (weights @ (delta * shift)) / (weights @ delta**2)

        draws = cluster_bootstrap(slope, groups, settings.resamples, settings.seed)
        interval = percentile(draws)
        moved = part[part["delta"] != 0]
        still = part[part["delta"] == 0]
        rows.append(
            {
                "layer": int(layer), "role": role, "lists": int(part["list"].nunique()), "transferred": float(draws[0]),
                "transferred_low": interval.low, "transferred_high": interval.high,
                "follows": float(moved["follows"].mean()) if len(moved) else None,
                "shift_without": float(still["shift"].abs().mean()) if len(still) else None,
                "lists_without": len(still),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def steering_table(steering: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return for each layer the mean shift of the expected count a step, along the probe's direction and at random."""
    rows = []
    for (layer, direction), part in steering.groupby(["layer", "direction"], sort=True):
        values = (part["step"] * part["shift"]).to_numpy(np.float64)
        draws = cluster_bootstrap(
            partial(_mean, values=values), numbered(part["list"].tolist()), settings.resamples,
            settings.seed,
        )  # fmt: skip
        interval = percentile(draws)
        rows.append(
            {
                "layer": int(layer), "direction": direction, "shift_per_step": float(draws[0]),
                "shift_low": interval.low, "shift_high": interval.high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _mean(weights: Floats, values: Floats) -> Floats:
    found: Floats = (weights @ values) / weights.sum(axis=1)
    return found


def fitted(tables: Mapping[str, pd.DataFrame], seed: int) -> list[Probe]:
    """Return the probes of all layers, or none where no residuals were measured."""
    if "running" not in tables or "digits" not in tables:
        return []
    return probes(tables["running"], tables["digits"], seed)


def directions(found: list[Probe]) -> dict[int, Any]:
    """Return the direction of each layer's probe, one more word counted."""
    return {probe.layer: probe.direction for probe in found}


def extra_tables(tables: Mapping[str, pd.DataFrame], settings: Settings) -> dict[str, pd.DataFrame]:
    """Return the tables of what was measured beside the effects, by name."""
    found = {}
    if "transfer" in tables:
        found["count_transfer"] = transfer_table(tables["transfer"], settings)
    if fit := fitted(tables, settings.seed):
        found["running_count_probe"] = pd.DataFrame([probe.record() for probe in fit])
    if "steering" in tables:
        found["steering"] = steering_table(tables["steering"], settings)
    return found


def sentences(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return in words what the extras show."""
    said = []
    if "count_transfer" in found:
        table = found["count_transfer"]
        before = table[table["role"] == "last_separator"]
        for part, what in (
            (before, "the last separator"),
            (table[table["role"] != "cue"], "any place but the answer's"),
        ):
            if part["transferred"].notna().any():
                best = part.loc[part["transferred"].idxmax()]
                said.append(
                    f"count transfer: from {what} an unrelated list moves the answer by {best['transferred']:.2f} "
                    f"[{best['transferred_low']:.2f}, {best['transferred_high']:.2f}] a word at most (layer "
                    f"{int(best['layer'])}, {str(best['role']).replace('_', ' ')})"
                )
    if "running_count_probe" in found and (probed := found["running_count_probe"])["r2"].notna().any():
        best = probed.loc[probed["r2"].idxmax()]
        said.append(
            f"a linear probe reads R2 = {best['r2']:.2f} of the running count where words end, position and the word "
            f"itself taken out, on unseen words (layer {int(best['layer'])}; shuffled {best['r2_shuffled']:.2f}, "
            f"position alone {best['r2_position']:.2f}); cosine with the numbers' output rows {best['cosine']:.2f}"
        )
    if "steering" in found and found["steering"]["shift_per_step"].notna().all():
        table = found["steering"]
        best = table[table["direction"] == "count"].set_index("layer")["shift_per_step"]
        noise = table[table["direction"] == "random"].set_index("layer")["shift_per_step"]
        layer = best.abs().idxmax()
        said.append(
            f"a step of one word along the probe's direction moves the answer by {best[layer]:+.3f} at most (layer "
            f"{layer}; a random direction of the same length {noise[layer]:+.3f})"
        )
    return said


def pictures(found: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    """Return the pictures of the extras."""
    written: dict[str, bytes] = {}
    if "count_transfer" in found:
        figure = new_figure(6, 3.4)
        axes = figure.add_subplot()
        for number, (role, part) in enumerate(found["count_transfer"].groupby("role", sort=False)):
            low, high = part["transferred"] - part["transferred_low"], part["transferred_high"] - part["transferred"]
            axes.errorbar(
                part["layer"], part["transferred"], yerr=[low.clip(lower=0).fillna(0), high.clip(lower=0).fillna(0)],
                marker="o", markersize=3, capsize=2, linewidth=1, color=COLOURS[number % len(COLOURS)],
                label=str(role).replace("_", " "),
            )  # fmt: skip
        axes.set_xlabel("layer")
        axes.set_ylabel("shift of the answer a word transferred")
        axes.legend(fontsize=7)
        axes.axhline(0, color="black", linewidth=0.8)
        written |= rendered(figure, "count_transfer")
    if "running_count_probe" in found:
        table = found["running_count_probe"]
        figure = new_figure(6, 3.4)
        axes = figure.add_subplot()
        lines = (
            ("r2", "probe, position and word taken out"), ("r2_shuffled", "shuffled counts, 95 %"),
            ("r2_with_position", "with position"), ("r2_position", "position alone"),
        )  # fmt: skip
        for number, (name, label) in enumerate(lines):
            axes.plot(table["layer"], table[name], marker="o", markersize=3, color=COLOURS[number], label=label)
        axes.set_xlabel("layer")
        axes.set_ylabel("R2 on lists of unseen words")
        axes.set_ylim(min(-0.1, float(table["r2_shuffled"].min())), 1)
        axes.legend(fontsize=7)
        written |= rendered(figure, "running_count_probe")
    return written
