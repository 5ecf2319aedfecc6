"""A screen of all cells by attribution patching: it only chooses the cells whose effects are then measured exactly.

The change of the metric is estimated to first order, (activation of x' - activation of x) . d metric / d activation
(N. Nanda, 2023; J. Kramár et al., AtP*, arXiv 2403.00745). The gradient is taken in both runs and averaged, which is
right to second order along the way from one to the other. One forward and one backward of each text serve all cells.
Gradients need the model's own linear layers: nothing of the engine's packed weights is active here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import torch

from lmx_probes.mediation.answers import Answers
from lmx_probes.mediation.measure import OF_RESIDUAL, OWN, Grid, Key, Meter, captured, chunk_effects
from lmx_probes.mediation.trials import Trial
from lmx_probes.patching.hooks import hooked, removing
from lmx_probes.patching.patch import Patcher

Tensor = torch.Tensor
PAIRS = 32
"""Trials that are enough to rank cells."""
FEW = 8
"""Trials that are enough to see up to which layer nothing has left the word that differs."""
NEAR = 2
"""Layers below and above the end of these in which the word is measured in any case: all pairs may see it elsewhere."""
UNMIXED = 0.95
"""As in `lmx_analysis.mediation.cells`, which marks cells by exact effects of all pairs; here it saves their room."""


@dataclass(frozen=True)
class Screen:
    """Estimates of all cells.

    Attributes:
        shares: estimated shares of the total effect. ranked: the cells that may be concluded from.
        own: of the word that differs, cells that tell which others are 1 by construction; measured in any case.
    """

    shares: dict[Key, float]
    ranked: tuple[Key, ...]
    own: frozenset[Key]


def screen(
    patcher: Patcher,
    trials: Sequence[Trial],
    grid: Grid,
    answers: Answers,
    progress: Callable[[Sequence[int]], Iterable[int]] = lambda each: each,
) -> Screen:
    """Return the estimated share of the total effect of each cell: sum of estimates / sum of total effects.

    Args:
        trials: see `read_by_screen`.
    """
    moving = read_by_screen(trials)
    sums: dict[Key, float] = {}
    total = 0.0
    for number in progress(range(len(moving))):
        trial = moving[number]
        estimates, te = _of_trial(patcher, trial, grid, answers)
        total += te
        for key, value in estimates.items():
            sums[key] = sums.get(key, 0.0) + value
    shares = {key: value / total if total else 0.0 for key, value in sums.items()}
    unmixed = _unmixed(patcher, moving[:FEW], grid, answers)
    layers = sorted(grid.layers)
    end = sum(layer <= unmixed for layer in layers)
    near = layers[max(0, end - NEAR) : end + NEAR]
    own = frozenset(key for key in shares if key[0] == "residual" and key[3] == OWN and key[1] in near)
    ranked = tuple(key for key in shares if key not in own and _tells(key, unmixed, patcher.sites.layers))
    return Screen(shares, ranked, own)


def read_by_screen(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that a screen reads: the first `PAIRS` of those that move the count."""
    return [trial for trial in trials if trial.moves][:PAIRS]


def _tells(key: Key, unmixed: int, layers: int) -> bool:
    """Tell whether a cell may be concluded from: not one that is 1 by construction, nor a control."""
    component, layer, _, role = key
    if role in OF_RESIDUAL or (component, layer, role) == ("residual", layers - 1, "cue"):
        return False
    return role != OWN or layer > unmixed


def _unmixed(patcher: Patcher, trials: Sequence[Trial], grid: Grid, answers: Answers) -> int:
    """Return the last layer up to which the word that differs carries the whole effect by itself, by exact patches."""
    if OWN not in grid.roles or not trials:
        return -1
    runs, meter, layers = captured(patcher, trials, ()), Meter(answers), sorted(grid.layers)
    below, above = -1, len(layers)
    while above - below > 1:  # what has left the word is not called back
        middle = (below + above) // 2
        own = replace(grid, components=("residual",), layers=(layers[middle],), roles=(OWN,), chosen=None)
        effects = chunk_effects(patcher, trials, runs, own, meter)
        te, nie, nde = (sum(effects[name]) for name in ("te", "nie", "nde"))
        if te and nie / te >= UNMIXED and not (grid.both and nde / te > 1 - UNMIXED):
            below = middle
        else:
            above = middle
    return layers[below] if below >= 0 else -1


def chosen(found: Screen, share: float) -> frozenset[Key]:
    """Return the cells with the largest estimates, `share` of those that may be concluded from.

    The residual stream of the word that differs comes on top, about where something begins to leave it: it tells which
    cells are 1 by construction. Where nothing can be ranked, all cells are chosen.
    """
    if not found.ranked:
        return frozenset(found.shares)
    ranked = sorted(found.ranked, key=lambda key: -abs(found.shares[key]))
    return frozenset(ranked[: max(1, round(share * len(ranked)))]) | found.own


def screened(grid: Grid, found: Screen, share: float) -> Grid:
    """Return the grid with only the chosen cells."""
    return replace(grid, chosen=chosen(found, share))


def screen_table(found: Screen, grid: Grid) -> pa.Table:
    """Return the estimates of all cells and which were chosen: for the record, never for a conclusion."""
    keys, ranked = list(found.shares), set(found.ranked)
    return pa.table(
        {
            "component": [key[0] for key in keys],
            "layer": [key[1] for key in keys],
            "head": [key[2] for key in keys],
            "role": [key[3] for key in keys],
            "estimate": list(found.shares.values()),
            "ranked": [key in ranked for key in keys],
            "chosen": [key in (grid.chosen or ()) for key in keys],
        }
    )


def chosen_of(table: pa.Table) -> frozenset[Key]:
    """Return the chosen cells of a `screen_table`."""
    return frozenset(
        (row["component"], row["layer"], row["head"], row["role"]) for row in table.to_pylist() if row["chosen"]
    )


def _of_trial(patcher: Patcher, trial: Trial, grid: Grid, answers: Answers) -> tuple[dict[Key, float], float]:
    with _frozen(patcher.model):
        base, base_slopes, m0 = _gradients(patcher, trial.base, trial, tuple(grid.measured), answers)
        source, source_slopes, m1 = _gradients(patcher, trial.source, trial, tuple(grid.measured), answers)
    products: dict[tuple[str, int, int], Tensor] = {}
    for name, layers in base.items():
        for layer, here in enumerate(layers):
            slope = (base_slopes[name][layer] + source_slopes[name][layer]) / 2
            product = (source[name][layer] - here) * slope
            if name == "head":
                by_head = product.reshape(len(product), patcher.sites.heads, patcher.sites.head_dim).sum(-1)
                products |= {(name, layer, head): by_head[:, head] for head in range(patcher.sites.heads)}
            else:
                products[name, layer, -1] = product.sum(-1)
    found: dict[Key, list[float]] = {}
    for component, layer, head, place in grid.cells(trial):
        value = float(products[component, layer, head][list(place.positions)].sum())
        found.setdefault((component, layer, head, place.role), []).append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}, m1 - m0


def _gradients(
    patcher: Patcher, text: Sequence[int], trial: Trial, components: Sequence[str], answers: Answers
) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]], float]:
    """Return the activations ``[tokens, width]`` by component and layer, the metric's gradients there, the metric."""
    seen: dict[str, list[Tensor]] = {name: [] for name in components}

    def keep(name: str, value: Tensor) -> None:
        value.retain_grad()
        seen[name].append(value)

    with torch.enable_grad(), contextlib.ExitStack() as stack:
        blocks = patcher.sites.blocks
        stack.enter_context(removing(blocks[0].layer.register_forward_pre_hook(_as_leaf, with_kwargs=True)))
        for block in blocks:
            for name in components:
                stack.enter_context(hooked(block, name, partial(keep, name)))
        ids = torch.tensor([list(text)], device=patcher.model.device)
        logits = patcher.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
        metric = logits[answers.tokens[trial.other]] - logits[answers.tokens[trial.answer]]
        metric.backward()
    values = {name: [each.detach()[0] for each in layers] for name, layers in seen.items()}
    slopes = {name: [_slope(each) for each in layers] for name, layers in seen.items()}
    return values, slopes, float(metric.detach())


def _slope(value: Tensor) -> Tensor:
    return torch.zeros_like(value[0]) if value.grad is None else value.grad[0]


def _as_leaf(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Let gradients begin at the first layer's input, for the weights need none."""
    return (args[0].detach().requires_grad_(), *args[1:]), kwargs


@contextlib.contextmanager
def _frozen(model: torch.nn.Module) -> Iterator[None]:
    """Leave out gradients of weights, which are not needed and cost as much as the others."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, needed in before:
            parameter.requires_grad_(needed)
