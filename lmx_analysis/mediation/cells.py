"""Effects by cell: component, layer, head and role, as matrices over pairs; and the cells that say nothing.

Some cells are 1 by construction: to patch every position of a layer is to replay the other run, and so is to patch the
last layer where the answer is read, or the word that differs while nothing has left its position. They are marked and
take no part in maxima and conclusions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KEYS = ["component", "layer", "head", "role"]
EFFECTS = ("te", "nie", "nde", "tie", "interaction")
UNMIXED = 0.95
"""Share of the total effect above which all of it is taken to pass through the word that differs."""
ALL = "all positions: this replays the other run"
OUTPUT = "the last layer at the answer: this is the output"
OWN = "the word that differs, before anything has left it"
CONTROL = "control"


@dataclass(frozen=True)
class Cells:
    """A grid of cells over pairs.

    Attributes:
        index: component, layer, head (-1 for none) and role, one row a cell. effects: by name, ``[pairs, cells]``, the
            mean over a role's places within a pair; 0 where a pair has none. there: whether it has, ``[pairs, cells]``.
        pairs: their numbers. marks: why a cell is left out of conclusions, empty where it is not.
    """

    index: pd.DataFrame
    effects: dict[str, Floats]
    there: Floats
    pairs: NDArray[np.intp]
    marks: list[str]

    def __len__(self) -> int:
        return len(self.index)

    def ratios(self, weights: Floats, numerator: str) -> Floats:
        """Return sum(effect) / sum(TE) of each cell for rows of pair weights, ``[rows, cells]``: a ratio of means."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = (weights @ self.effects[numerator]) / (weights @ self.effects["te"])
        return found

    def of_components(self, asked: Collection[str] | None) -> Cells:
        """Return the cells of some components."""
        rows = [i for i, name in enumerate(self.index["component"]) if asked is None or name in asked]
        return Cells(
            self.index.iloc[rows].reset_index(drop=True), {name: each[:, rows] for name, each in self.effects.items()},
            self.there[:, rows], self.pairs, [self.marks[i] for i in rows],
        )  # fmt: skip

    def shares(self, numerator: str) -> Floats:
        """Return the ratio of means of each cell over all pairs, ``[cells]``."""
        return self.ratios(np.ones((1, len(self.pairs))), numerator)[0]


def cells_of(
    effects: pd.DataFrame, pairs: pd.DataFrame, layers: int, kept: pd.Series | None = None,
    asked: Collection[str] | None = None,
) -> Cells:  # fmt: skip
    """Return the cells of measured effects.

    Args:
        effects: one row a pair and place. pairs: one row a pair. layers: of the model.
        kept: which rows of `pairs` take part, those that move the count if nothing is said.
        asked: components that are returned; all if nothing is said. Marks are made of all.
    """
    chosen = pairs[pairs["moves"] if kept is None else kept]["pair"].to_numpy()
    rows = effects[effects["pair"].isin(chosen)]
    means = rows.groupby(["pair", *KEYS], sort=False, observed=True)[list(EFFECTS)].mean()
    keys = means.index.droplevel("pair").unique()
    index = keys.to_frame(index=False)
    index = index.sort_values(KEYS, kind="stable").reset_index(drop=True)
    order = pd.MultiIndex.from_frame(index)
    matrices: dict[str, Floats] = {}
    there = np.zeros((len(chosen), len(order)))
    for name in EFFECTS:
        wide = means[name].unstack(KEYS).reindex(index=chosen, columns=order)
        values = wide.to_numpy(dtype=np.float64)
        there = (means["te"].unstack(KEYS).reindex(index=chosen, columns=order).notna()).to_numpy(dtype=np.float64)
        # an effect that was not measured stays NaN; a pair without the place counts nothing
        matrices[name] = np.where(there > 0, values, 0.0)
    plain = Cells(index, matrices, there, chosen.astype(np.intp), [""] * len(index))
    return Cells(index, matrices, there, plain.pairs, marks_of(plain, layers)).of_components(asked)


def marks_of(cells: Cells, layers: int) -> list[str]:
    """Return why each cell says nothing of where the count is; empty where it does."""
    unmixed = _unmixed(cells)
    marks = []
    for component, layer, _, role in cells.index.itertuples(index=False):
        if role == "all":
            marks.append(ALL)
        elif role == "before":
            marks.append(CONTROL)
        elif role == "cue" and component == "residual" and layer == layers - 1:
            marks.append(OUTPUT)
        elif role == "swapped_item" and layer <= unmixed:
            marks.append(OWN)
        else:
            marks.append("")
    return marks


def _unmixed(cells: Cells) -> int:
    """Return the last measured layer up to which all of the effect passes through the word that differs; -1 if none.

    Exchanging the word's own residual then gives the whole effect, and exchanging all else, which is what putting it
    back into the other run does, gives none. What has left a word is not called back, so that layers between two
    measured ones where nothing has left need not be measured.
    """
    nie, nde = cells.shares("nie"), cells.shares("nde")
    last = -1
    own = cells.index[(cells.index["component"] == "residual") & (cells.index["role"] == "swapped_item")]
    for row, layer in sorted(zip(own.index, own["layer"], strict=True), key=lambda each: each[1]):
        if not nie[row] >= UNMIXED or nde[row] > 1 - UNMIXED:
            break
        last = layer
    return last
