"""What is computed: tokens by layers, counted as the layers see them, not timed."""

from __future__ import annotations

import contextlib

import pytest

from lmx_probes.mediation.measure import Grid, Meter, captured, chunk_effects
from lmx_probes.mediation.roles import ROLES
from lmx_probes.patching.hooks import removing
from lmx_probes.patching.patch import Patcher, patch_from
from tests.unit.mediation import planted
from tests.unit.patching.shapes import model, texts

LENGTH = 24


@contextlib.contextmanager
def counted(patcher):
    """Count the tokens that each layer's MLP is given."""
    seen = [0] * patcher.sites.layers
    with contextlib.ExitStack() as stack:
        for layer, block in enumerate(patcher.sites.blocks):

            def add(_module, args, layer=layer):
                seen[layer] += args[0].shape[1]

            stack.enter_context(removing(block.mlp.register_forward_pre_hook(add)))
        yield seen


@pytest.mark.parametrize("position", [3, 12, LENGTH - 1])
def test_a_patched_run_costs_what_lies_above_and_behind(position):
    patcher = Patcher(model("llama"))
    base, other = texts(2, LENGTH)
    first, second = patcher.capture([base, [base[0], other[1], *base[2:]]])
    top = patcher.sites.layers - 1
    for layer in range(patcher.sites.layers):
        with counted(patcher) as seen:
            patcher.run([patch_from(patcher.sites, first, second, "residual", layer, (position,))] * 3)
        above = [0 if each <= layer else 3 if each == top else 3 * (LENGTH - position) for each in range(top + 1)]
        # what the last layer hands on at the last token is the output already, and at the others nobody reads it
        assert seen == above


def test_a_source_costs_what_lies_behind_the_word_that_differs():
    patcher = Patcher(model("llama"))
    base = texts(1, LENGTH)[0]
    bases = patcher.capture([base])
    with counted(patcher) as seen:
        patcher.capture([[*base[:20], 50, *base[21:]]], bases=bases)
    assert seen == [LENGTH - 20] * patcher.sites.layers


def test_cost_is_linear_in_pairs():
    """Twice the pairs are twice the work, to the token; and no pair is run again for another."""
    plan = planted.draw(0)
    patcher, meter = Patcher(planted.model_of(plan)), Meter(planted.answers())
    grid = Grid(("residual", "head"), tuple(range(plan.layers)), (0, 1, 2), ROLES)
    trials = planted.trials_of(plan, 1) * 32
    work = []
    for pairs in (8, 16, 32):
        with counted(patcher) as seen:
            for first in range(0, pairs, 4):
                some = trials[first : first + 4]
                chunk_effects(patcher, some, captured(patcher, some, grid.components), grid, meter)
        work.append(sum(seen))
    assert work[0] > 0
    assert work[1] == 2 * work[0]
    assert work[2] == 4 * work[0]
