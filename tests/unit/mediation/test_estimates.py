"""Intervals hold their level, tests find what is there and nothing else, and marks keep cells out of conclusions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmx_analysis.mediation.cells import ALL, CONTROL, OUTPUT, OWN, Cells, cells_of, marks_of
from lmx_analysis.mediation.conclusions import conclusions
from lmx_analysis.mediation.estimates import Settings, low_pairs, table
from lmx_analysis.mediation.probe import probes
from lmx_analysis.mediation.results import by_layer
from lmx_analysis.stats import ratio_intervals


def made_cells(pairs, sets, share, rng, kind="normal"):
    """Return `sets` cells, each an independent data set with this true share.

    Kinds: ``normal``; ``heavy``, a few pairs weigh much; ``skewed``, and their effects are skewed too.
    """
    te = rng.normal(5.0, 2.0, (pairs, sets)) if kind == "normal" else rng.gamma(2.0, 2.0, (pairs, sets))
    noise = rng.exponential(1.0, (pairs, sets)) - 1.0 if kind == "skewed" else rng.normal(0.0, 1.5, (pairs, sets))
    nie = share * te + noise * (1.0 if kind == "normal" else te / 4)
    nde = (1 - share) * te + rng.normal(0.0, 1.0, (pairs, sets))
    effects = {"te": te, "nie": nie, "nde": nde, "tie": te - nde, "interaction": te - nde - nie}
    index = pd.DataFrame({"component": "residual", "layer": np.arange(sets), "head": -1, "role": "later_separator"})
    return Cells(index, effects, np.ones((pairs, sets)), np.arange(pairs), [""] * sets)


@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed"])
@pytest.mark.parametrize("pairs", [15, 30, 80])
def test_intervals_of_the_proportion_cover_it_in_93_to_97_percent_of_2000_sets(pairs, kind):
    cells = made_cells(pairs, 2000, 0.4, np.random.default_rng(3), kind)
    effect, te = cells.effects["nie"], cells.effects["te"]
    _, found = ratio_intervals(effect, te, 300, 1)
    assert 0.93 <= np.mean([each.low <= 0.4 <= each.high for each in found]) <= 0.97


def test_intervals_are_withheld_where_the_total_effect_may_be_nothing():
    cells = made_cells(20, 3, 0.4, np.random.default_rng(3))
    cells.effects["te"][:] -= cells.effects["te"].mean(axis=0)
    cells.effects["te"][:] += 1e-3
    assert table(cells, Settings(200, 1))["proportion_mediated_low"].isna().all()


@pytest.mark.full
def test_the_grid_is_tested_at_its_level():
    """Of grids of 60 cells without any effect, about 5 % have one that is called significant."""
    alarms = 0
    for seed in range(200):
        cells = made_cells(60, 60, 0.0, np.random.default_rng(seed))
        total = cells.effects["nie"]
        from lmx_analysis.stats import flip_statistics, max_t

        alarms += min(max_t(*flip_statistics(total, 400, seed))) < 0.05
    assert 2 <= alarms <= 20  # 5 % of 200 are 10; within three standard errors


def test_an_effect_is_found_and_the_rest_is_not():
    rng = np.random.default_rng(0)
    cells = made_cells(60, 20, 0.0, rng)
    cells.effects["nie"][:, 4] += 0.5 * cells.effects["te"][:, 4]
    found = table(cells, Settings(999, 1))
    assert found["p_max_t"][4] < 0.01
    assert (found["p_max_t"].drop(4) > 0.05).all()


def test_marked_cells_are_no_maximum_and_no_test():
    rows = []
    for pair in range(10):
        for layer in range(3):
            for role, share in (("swapped_item", 1.0 if layer < 1 else 0.1), ("cue", 1.0 if layer == 2 else 0.3)):
                rows.append((pair, layer, role, share))
            rows += [(pair, layer, "all", 1.0), (pair, layer, "before", 0.0), (pair, layer, "later_item", 0.2)]
    effects = pd.DataFrame(rows, columns=["pair", "layer", "role", "share"]).assign(component="residual", head=-1)
    te = 2.0 + 0.1 * effects["pair"]
    effects = effects.assign(te=te, nie=effects["share"] * te, nde=(1 - effects["share"]) * te)
    effects["tie"], effects["interaction"] = effects["te"] - effects["nde"], 0.0
    pairs = pd.DataFrame({"pair": range(10), "moves": True})
    cells = cells_of(effects, pairs, 3)
    marks = dict(zip(map(tuple, cells.index[["layer", "role"]].to_numpy()), cells.marks, strict=True))
    assert marks[0, "swapped_item"] == OWN
    assert marks[1, "swapped_item"] == ""
    assert marks[2, "cue"] == OUTPUT
    assert marks[1, "cue"] == ""
    assert {marks[layer, "all"] for layer in range(3)} == {ALL}
    assert {marks[layer, "before"] for layer in range(3)} == {CONTROL}
    assert marks_of(cells, 4)[list(marks).index((2, "cue"))] == ""  # there it is not the last layer
    found = table(cells, Settings(99, 1))
    assert found.loc[found["by_construction"] != "", "p_max_t"].isna().all()
    best = by_layer(found)["residual"]
    assert [(each["layer"], each["role"]) for each in best] == [(0, "cue"), (1, "cue"), (2, "later_item")]
    assert "0.30" in conclusions(found)[0]


def test_shares_are_ratios_of_means_and_weigh_pairs_without_the_place_as_nothing():
    effects = pd.DataFrame(
        {
            "pair": [0, 0, 1], "component": "residual", "layer": 0, "head": -1,
            "role": ["cue", "later_item", "cue"], "te": [1.0, 1.0, 9.0], "nie": [1.0, 0.5, 0.0], "nde": 0.0, "tie": 0.0,
            "interaction": 0.0,
        }
    )  # fmt: skip
    cells = cells_of(effects, pd.DataFrame({"pair": [0, 1], "moves": True}), 2)
    assert dict(zip(cells.index["role"], cells.shares("nie"), strict=True)) == {"cue": 0.1, "later_item": 0.5}
    assert low_pairs(pd.DataFrame({"pair": range(4), "te": [5.0, 5.0, 0.1, 6.0], "moves": True})) == 1


def residual_table(rng, lists, count_weight=0.0, member_weight=0.0):
    """Residuals of 16 numbers: position, and along one direction the running count, or whether the word is a member."""
    direction = rng.standard_normal(16)
    direction /= np.linalg.norm(direction)
    position = rng.standard_normal((8, 16)) * 2
    rows = []
    for number in range(lists):
        members = rng.random(8) < 0.5
        for k in range(8):
            count = int(members[: k + 1].sum())
            along = count_weight * count + member_weight * members[k]
            x = position[k] + rng.standard_normal(16) * 0.3 + along * direction
            split = "train" if number < lists // 2 else "test"
            rows.append((number, split, k, bool(members[k]), count, x.astype(np.float32).tobytes()))
    return pd.DataFrame(rows, columns=["list", "split", "index", "member", "count", "residual_0"]), direction


def test_the_probe_finds_a_running_count_and_its_direction_and_is_not_fooled_by_position():
    rng = np.random.default_rng(1)
    table_, direction = residual_table(rng, 80, count_weight=1.0)
    rows = [(10 * direction * k + rng.standard_normal(16)).astype(np.float32).tobytes() for k in range(9)]
    digits = pd.DataFrame({"number": range(9), "row": rows})
    found = probes(table_, digits, 1)[0]
    assert found.r2 > 0.85
    assert found.r2 > found.r2_shuffled + 0.5
    assert found.direction @ direction == pytest.approx(1.0, abs=0.15)
    assert np.linalg.norm(found.direction - direction) < 0.3
    assert found.cosine > 0.9
    without, _ = residual_table(rng, 80)
    nothing = probes(without, digits, 1)[0]
    assert nothing.r2 < 0.03
    assert nothing.r2_position > 0.4  # position alone says much: lists grow


def test_a_model_that_only_knows_whether_the_word_is_a_member_keeps_no_running_count():
    """The count includes the word itself, so that its membership alone would give R2 = 2 / (n + 1) on average."""
    rng = np.random.default_rng(2)
    digits = pd.DataFrame({"number": range(9), "row": [rng.standard_normal(16).astype(np.float32).tobytes()] * 9})
    table_, direction = residual_table(rng, 80, member_weight=3.0)
    found = probes(table_, digits, 1)[0]
    assert abs(found.r2) < 0.03
    both, direction = residual_table(rng, 80, count_weight=1.0, member_weight=-2.0)
    kept = probes(both, digits, 1)[0]
    assert kept.r2 > 0.85
    assert kept.direction @ direction == pytest.approx(1.0, abs=0.15)
