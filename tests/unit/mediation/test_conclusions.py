"""What is said holds: nothing of an effect that may be 0, of too few pairs, or of cells chosen on the same pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmx_analysis.mediation.cells import cells_of
from lmx_analysis.mediation.columns import column_table
from lmx_analysis.mediation.conclusions import conclusions
from lmx_analysis.mediation.estimates import NO_EFFECT, TOO_FEW, Selection, Settings, how_tested, said, table
from lmx_analysis.mediation.results import answer_mass, by_layer, kept_of, main_set, warnings_of

DRAWS = Settings(199, 1)
PLACES = [
    ("swapped_item", "item+0"), ("swapped_separator", "sep+0"),
    *[("later_separator", f"sep+{k}") for k in range(1, 11)], *[("later_item", f"item+{k}") for k in range(1, 11)],
    ("last_separator", "last sep"), ("last_item", "last item"), ("cue", "cue"),
]  # fmt: skip


def study(shares, pairs=24, te=4.0, spread=0.5, noise=0.05, seed=0):
    """Return effects and pairs of one layer of two, in which some columns mediate a share of the total effect."""
    rng = np.random.default_rng(seed)
    rows = []
    for pair in range(pairs):
        whole = te + rng.normal(0, spread)
        for role, column in PLACES:
            nie = shares.get(column, 0.0) * whole + rng.normal(0, noise)
            rows.append((pair, role, column, whole, nie))
    effects = pd.DataFrame(rows, columns=["pair", "role", "column", "te", "nie"])
    effects = effects.assign(component="residual", layer=0, head=-1, nde=effects["te"] - effects["nie"])
    effects = effects.assign(tie=effects["nie"], interaction=0.0)
    return effects, pd.DataFrame({"pair": range(pairs), "moves": True})


def concluded(effects, pairs, selection=None):
    kept = pairs["moves"]
    cells = cells_of(effects, pairs, 2)
    tested = how_tested(cells.pairs, selection)
    columns = column_table(effects, pairs, 2, kept, ["residual"], DRAWS, tested)
    found = table(cells, DRAWS, tested)
    return found, columns, conclusions(found, tested.how, columns)


def running(lines):
    return [line for line in lines if "between the word and the end" in line]


def test_a_count_at_one_of_ten_separators_is_found_and_named():
    found, columns, lines = concluded(*study({"sep+4": 1.0, "cue": 0.9}))
    mean = found.set_index("role").loc["later_separator", "proportion_mediated"]
    assert mean == pytest.approx(0.1, abs=0.02)
    (line,) = running(lines)
    assert "carries part of the effect, as a running count would (at most 1.00" in line
    assert "sep+4" in line
    assert any("of single places the largest share is 1.00" in each and "0.10" in each for each in lines)
    (layer,) = by_layer(found, columns)["residual"]
    assert (layer["role"], layer["best_place"]) == ("cue", "sep+4")
    assert layer["best_place_proportion_mediated"] == pytest.approx(1.0, abs=0.02)


def test_no_running_count_is_said_where_there_is_none():
    (line,) = running(concluded(*study({"cue": 0.9}))[2])
    assert "no running count is seen there" in line


@pytest.mark.parametrize("column", ["sep+0", "item+3"])
def test_the_separator_of_the_word_and_later_words_are_no_running_count(column):
    (line,) = running(concluded(*study({column: 1.0}))[2])
    assert "no running count is seen there" in line


def test_an_uncertain_share_is_neither_a_running_count_nor_none():
    """Six pairs, effects that vary as much as their mean: a flip test of six pairs has no p below 0.03."""
    (line,) = running(concluded(*study({"last sep": 0.5}, pairs=6, noise=2.5, seed=3))[2])
    assert "nothing is concluded" in line
    assert "no running count" not in line


def test_nothing_is_concluded_where_the_total_effect_may_be_nothing():
    effects, pairs = study({"sep+4": 1.0, "cue": 1.0}, te=0.05, spread=2.0)
    found, columns, lines = concluded(effects, pairs)
    assert set(found["nothing_concluded"]) == {NO_EFFECT}
    assert len(said(found)) == 0
    assert by_layer(found, columns) == {}
    assert any("the total effect may be 0: nothing is concluded" in line for line in lines)
    assert not any("largest share" in line or "running count is seen" in line for line in lines)


def test_cells_in_too_few_pairs_are_no_maximum():
    effects, pairs = study({"cue": 0.5})
    extra = effects[(effects["column"] == "last item") & (effects["pair"] < 3)]
    effects = pd.concat([effects, extra.assign(role="after", column="after+1", nie=extra["te"])])
    found, columns, lines = concluded(effects, pairs)
    assert found.set_index("role").loc["after", "nothing_concluded"] == TOO_FEW
    assert by_layer(found, columns)["residual"][0]["role"] == "cue"
    assert "0.5" in lines[0]
    assert any(TOO_FEW in line for line in lines)


def test_chosen_cells_are_tested_on_pairs_that_the_screen_did_not_see():
    effects, pairs = study({"cue": 0.9}, pairs=60)
    seen = Selection(frozenset(range(32)), 0.1)
    found, _, lines = concluded(effects, pairs, seen)
    assert "on the 28 pairs that the screen did not see" in lines[0]
    # an effect that only the pairs have which the screen saw is no effect
    there = (effects["column"] == "last item") & (effects["pair"] < 32)
    effects.loc[there, "nie"] = effects.loc[there, "te"]
    again = concluded(effects, pairs, seen)[0].set_index("role")
    assert again.loc["last_item", "p_max_t"] > 0.05
    assert concluded(effects, pairs)[0].set_index("role").loc["last_item", "p_max_t"] < 0.05
    assert again.loc["cue", "p_max_t"] == found.set_index("role").loc["cue", "p_max_t"] < 0.05


def test_with_too_few_unseen_pairs_p_is_multiplied_and_says_so():
    effects, pairs = study({"cue": 0.9}, pairs=40)
    few = concluded(effects, pairs, Selection(frozenset(range(32)), 0.1))
    plain = concluded(effects, pairs)
    assert "times 10.0 for their choice on the same pairs" in few[2][0]
    assert (few[0]["p_max_t"].dropna() == np.minimum(1, 10 * plain[0]["p_max_t"].dropna())).all()


@pytest.mark.full
def test_screened_grids_without_effect_raise_an_alarm_in_one_of_twenty():
    """The largest of 200 cells on all of 40 pairs: tested as such, at most 5 % of grids have one below 0.05."""
    alarms = {"corrected": 0, "as over the grid": 0}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        nie = rng.normal(0, 1, (40, 200))
        best = np.argsort(-np.abs(nie.sum(axis=0)))[:10]
        rows = [(pair, f"cell{k}", 4.0, nie[pair, k]) for pair in range(40) for k in best]
        effects = pd.DataFrame(rows, columns=["pair", "role", "te", "nie"]).assign(
            component="residual", layer=0, head=-1, nde=0.0, tie=0.0, interaction=0.0
        )
        cells = cells_of(effects, pd.DataFrame({"pair": range(40), "moves": True}), 2)
        for name, selection in (("corrected", Selection(frozenset(range(40)), 0.05)), ("as over the grid", None)):
            found = table(cells, Settings(399, seed), how_tested(cells.pairs, selection))
            alarms[name] += bool((found["p_max_t"] < 0.05).any())
    assert alarms["corrected"] <= 12
    assert alarms["as over the grid"] > 60


@pytest.mark.parametrize(
    ("right", "every", "main", "noted"), [(9, 30, "all", True), (10, 30, "right", False), (8, 8, "right", False)]
)
def test_pairs_answered_right_are_shown_by_themselves_from_ten_on(right, every, main, noted):
    pairs = pd.DataFrame(
        {"moves": True, "right_base": [k < right for k in range(every)], "right_source": [True] * every}
    )
    name, notes = main_set(kept_of(pairs), {"right": pd.DataFrame(), "all": pd.DataFrame()})
    assert name == main
    assert bool(notes) == noted
    assert all(f"{right} of {every} were answered right" in note for note in notes)


def test_a_model_that_begins_otherwise_than_with_a_number_is_warned_of():
    pairs = pd.DataFrame({"numbers_base": [0.9, 0.1], "numbers_source": [0.1, 0.1]})
    assert answer_mass(pairs) == pytest.approx(0.3)
    assert "30.0%" in warnings_of(0.3)[0]
    assert warnings_of(0.5) == []
    assert answer_mass(pairs[[]]) is None
