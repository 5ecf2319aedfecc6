"""Cells that are 1 by construction are marked, whatever part of the grid was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lmx_analysis.mediation.cells import OWN, cells_of
from lmx_probes.mediation.measure import Grid, Meter, captured, chunk_effects, chunk_pairs
from lmx_probes.mediation.roles import ROLES
from lmx_probes.patching.patch import Patcher
from tests.unit.mediation import planted


@pytest.fixture(scope="module")
def subject():
    plan = planted.draw(5)  # the word is read at layer 3
    assert plan.early == 3
    return plan, Patcher(planted.model_of(plan)), planted.trials_of(plan, 3)


def marked(subject, grid):
    """Return which cells of the word that differs are marked, by component and layer, and all of them with shares."""
    plan, patcher, trials = subject
    meter = Meter(planted.answers())
    runs = captured(patcher, trials, grid.components)
    effects = pd.DataFrame(chunk_effects(patcher, trials, runs, grid, meter))
    pairs = pd.DataFrame(chunk_pairs(trials, runs, meter))
    cells = cells_of(effects, pairs, plan.layers, asked=grid.components)
    assert set(cells.index["component"]) == set(grid.components)
    word = cells.index[cells.index["role"] == "swapped_item"]
    return {
        (row.component, int(row.layer)): cells.marks[row.Index] == OWN for row in word.itertuples() if row.head < 0
    }, cells


WHOLE = Grid(("residual", "attention", "mlp"), (0, 1, 2, 3), (0, 1, 2), ROLES)


@pytest.mark.parametrize("layers", [(1, 2, 3), (2, 3), (0, 2, 3), (0, 2)])
def test_chosen_layers_are_marked_as_they_are_among_all(layers, subject):
    everything, _ = marked(subject, WHOLE)
    some, _ = marked(subject, replace(WHOLE, layers=layers))
    assert some == {cell: mark for cell, mark in everything.items() if cell[1] in layers}
    assert any(some.values())


@pytest.mark.parametrize("components", [("mlp",), ("attention", "mlp"), ("head",)])
def test_without_the_residual_stream_the_word_that_differs_is_marked_all_the_same(components, subject):
    everything, _ = marked(subject, WHOLE)
    some, cells = marked(subject, replace(WHOLE, components=components))
    assert some == {cell: mark for cell, mark in everything.items() if cell[0] in components}
    of_word = (cells.index["role"] == "swapped_item") & (cells.index["layer"] < 3)
    assert all(mark == OWN for mark, word in zip(cells.marks, of_word, strict=True) if word)
    assert of_word.sum() == 3 * (3 if components == ("head",) else len(components))


def test_where_there_is_no_total_effect_nothing_is_called_unmixed(subject):
    _, cells = marked(subject, WHOLE)
    none = pd.DataFrame(
        {
            "pair": [0, 1], "component": "residual", "layer": 0, "head": -1, "role": "swapped_item", "te": [1.0, -1.0],
            "nie": [1.0, -1.0], "nde": np.nan, "tie": np.nan, "interaction": np.nan,
        }
    )  # fmt: skip
    assert cells_of(none, pd.DataFrame({"pair": [0, 1], "moves": True}), 4).marks == [""]
    assert len(cells)


def test_the_residual_stream_of_the_word_is_not_measured_where_the_word_is_not_asked_for(subject):
    grid = replace(WHOLE, components=("mlp",), roles=("cue", "later_separator"))
    assert set(grid.measured) == {"mlp"}
