"""Mediation finds what was hidden: in models built by hand, and in one compiled from a program."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch

from lmx_analysis.mediation.cells import OUTPUT, OWN, cells_of
from lmx_probes.mediation.answers import Answers
from lmx_probes.mediation.measure import Grid, Meter, captured, chunk_effects, chunk_pairs
from lmx_probes.mediation.roles import ROLES, places_of
from lmx_probes.mediation.screen import chosen, screen
from lmx_probes.mediation.trials import Trial
from lmx_probes.patching.components import COMPONENTS
from lmx_probes.patching.patch import Patcher
from tests.unit.mediation import compiled, planted

SHARES = ["nie", "nde", "interaction"]


def measured(model, trials, answers, heads):
    patcher = Patcher(model)
    meter = Meter(answers)
    grid = Grid(COMPONENTS, tuple(range(patcher.sites.layers)), heads, ROLES)
    runs = captured(patcher, trials, grid.components)
    effects = pd.DataFrame(chunk_effects(patcher, trials, runs, grid, meter))
    pairs = pd.DataFrame(chunk_pairs(trials, runs, meter))
    return patcher, grid, effects, pairs


def shares_of(effects):
    single = effects[~effects["role"].isin(("all", "before"))]
    sums = single.groupby(["component", "layer", "head", "position"])[["te", *SHARES]].sum()
    return sums[SHARES].div(sums["te"], axis=0)


def area_under_the_curve(scores, true):
    """Probability that a true cell scores above another one, ties half."""
    hits, rest = np.asarray(scores)[true], np.asarray(scores)[~true]
    return float((hits[:, None] > rest).mean() + 0.5 * (hits[:, None] == rest).mean())


def check_relay(seed):
    plan = planted.draw(seed)
    _, _, effects, pairs = measured(planted.model_of(plan), planted.trials_of(plan, 3), planted.answers(), (0, 1, 2))
    assert pairs["right_base"].all()
    assert pairs["right_source"].all()
    assert (pairs["te"] > 1).all()
    shares = shares_of(effects)
    truth = planted.truth(plan)
    true = np.array([cell in truth for cell in shares.index])
    assert true.sum() == len(truth)
    assert area_under_the_curve(shares["nie"].abs(), true) == 1.0
    assert shares["nie"][true].min() >= 0.95
    assert shares["nie"][~true].abs().max() <= 0.02
    return plan


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_count_is_found_where_it_is_and_nowhere_else(seed):
    check_relay(seed)


@pytest.mark.full
def test_planted_counts_are_found_at_many_random_places():
    plans = [check_relay(seed) for seed in range(3, 27)]
    assert len({(plan.relays, plan.early, plan.late) for plan in plans}) > 20


def test_a_pure_interaction_shows_in_its_column_and_not_in_the_indirect_effect():
    plan = planted.draw(0, "interaction")
    _, _, effects, pairs = measured(planted.model_of(plan), planted.trials_of(plan, 3), planted.answers(), (0, 1, 2))
    assert (pairs["te"] > 1).all()
    shares = shares_of(effects).loc["residual"].xs(-1, level="head")
    for relay in plan.relays:
        at = shares.loc[(plan.early, relay)]
        assert abs(at["nie"]) <= 0.02
        assert abs(at["nde"]) <= 0.02
        assert at["interaction"] >= 0.95


def test_redundant_copies_are_seen_by_noising_and_missed_by_denoising():
    plan = planted.draw(0, "copies")
    _, _, effects, _ = measured(planted.model_of(plan), planted.trials_of(plan, 3), planted.answers(), (0, 1, 2))
    shares = shares_of(effects).loc["residual"].xs(-1, level="head")
    for relay in plan.relays:
        at = shares.loc[(plan.early, relay)]
        assert at["nie"] >= 0.95  # either alone moves the answer
        assert at["nde"] >= 0.95  # and to put one back does not stop it: TIE is 0
        assert at["interaction"] <= -0.95


def test_cells_by_construction_are_marked_where_nothing_has_left_the_word():
    plan = planted.draw(5)  # the word is read at layer 3
    assert plan.early == 3
    _, _, effects, pairs = measured(planted.model_of(plan), planted.trials_of(plan, 3), planted.answers(), (0, 1, 2))
    cells = cells_of(effects, pairs, plan.layers)
    shares = cells.shares("nie")
    for row, (component, layer, _, role) in enumerate(cells.index.itertuples(index=False)):
        if role == "swapped_item":
            assert (cells.marks[row] == OWN) == (layer < plan.early)
        elif role == "all":
            assert cells.marks[row]
            assert abs(shares[row] - 1) < 1e-5
        elif (component, layer, role) == ("residual", plan.layers - 1, "cue"):
            assert cells.marks[row] == OUTPUT
        else:
            assert cells.marks[row] == ""
    unmarked = np.array([not mark for mark in cells.marks])
    best = cells.index[unmarked].iloc[int(np.argmax(shares[unmarked]))]
    assert best["role"] != "swapped_item"


def compiled_trials(vocabulary, count=12, words=8):
    rng = random.Random(5)
    found = []
    for number in range(count):
        letters = [rng.choice("xy") for _ in range(words)]
        index = rng.randrange(words - 2)
        changed = [*letters[:index], "y" if letters[index] == "x" else "x", *letters[index + 1 :]]
        base, source = (tuple(vocabulary[token] for token in ["BOS", *each]) for each in (letters, changed))
        offsets = [(i, i + 1) for i in range(len(base))]
        spans = [(1 + k, 2 + k) for k in range(words - 1)]  # the last token is where the answer is read
        places = tuple(places_of(spans, offsets, index))
        right = [letters[: words - 1].count("x"), changed[: words - 1].count("x")]
        found.append(Trial(number, "add", base, source, places, *right))
    return found


def test_a_compiled_program_is_understood():
    """The running count is held at every position; only the last but one is read, from the layer that makes it on."""
    model, vocabulary, labels, arrays = compiled.load()
    text = torch.tensor([[vocabulary[str(token)] for token in arrays["example"]]])
    with torch.no_grad():
        assert model(text).logits[0].argmax(-1).tolist()[1:] == [int(each) for each in arrays["example_answers"][1:]]
    trials = compiled_trials(vocabulary)
    answers = Answers(tuple(range(sum(label.startswith("answer") for label in labels))), space=False)
    patcher, _, effects, pairs = measured(model, trials, answers, (0,))
    assert pairs["right_base"].all()
    assert pairs["right_source"].all()
    # which layer writes the running count is known from the compiler's labels, not from us
    count = [k for k, label in enumerate(labels) if label.startswith("running_count") and ":" in label]
    run = patcher.capture([trials[0].base])[0]
    writes = [bool((run.activations["residual"][layer][:, count].abs() > 0.5).any()) for layer in range(3)]
    made = writes.index(True)
    single = effects[~effects["role"].isin(("all", "before"))].assign(
        place=lambda d: np.where(d["role"] == "swapped_item", "word", d["position"].astype(str))
    )
    sums = single.groupby(["component", "layer", "place"])[["te", "nie"]].sum()
    shares = sums["nie"] / sums["te"]
    before, last = str(len(trials[0].base) - 2), str(len(trials[0].base) - 1)
    truth = {("residual", layer, "word") for layer in range(made)} | {("mlp", 0, "word")}
    truth |= {(name, made, before) for name in ("residual", "mlp")}
    truth |= {(name, made + 1, last) for name in ("residual", "attention", "head")}
    found = {cell for cell, share in shares.items() if abs(share) > 0.02}
    assert {cell for cell in truth if shares[cell] >= 0.95} == truth
    # the compiler's own way of counting: attention reads the share of x, the MLP turns it into a number
    assert found - truth <= {("attention", made, before), ("head", made, before)}


def test_the_screen_finds_the_strongest_cells():
    recalls = []
    for seed in range(4):
        plan = planted.draw(seed)
        model, trials = planted.model_of(plan), planted.trials_of(plan, 3)
        patcher, grid, effects, pairs = measured(model, trials, planted.answers(), (0, 1, 2))
        cells = cells_of(effects, pairs, plan.layers)
        sizes = zip(map(tuple, cells.index.to_numpy().tolist()), np.abs(cells.shares("nie")), cells.marks, strict=True)
        found = screen(patcher, trials, grid, planted.answers())
        # the residual stream of the word that differs is measured in any case, so that to find it is no merit
        near = range(max(plan.early - 2, 0), min(plan.early + 2, plan.layers))
        assert {cell[1] for cell in found.own} == set(near)
        assert {(cell[0], cell[3]) for cell in found.own} == {("residual", "swapped_item")}
        exact = {cell: size for cell, size, mark in sizes if not mark and cell not in found.own}
        assert set(found.ranked) == set(exact)  # nothing else takes room of the share
        top = sorted(exact, key=lambda cell: -exact[cell])[: round(0.05 * len(exact))]
        top = [cell for cell in top if exact[cell] > 0.02]  # the rest does nothing, and has no order
        assert len(top) > 3
        picked = chosen(found, 0.1)
        assert found.own <= picked
        assert len(picked - found.own) == round(0.1 * len(exact))
        assert picked - found.own <= set(exact)
        recalls.append(len(set(top) & picked) / len(top))
    assert np.mean(recalls) >= 0.9
