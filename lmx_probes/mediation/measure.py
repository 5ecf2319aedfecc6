"""Measures effects: every cell of every trial by patched runs, in both directions, kept part by part.

With m = z(other) - z(answer) at the answer's token, x and x' the two texts and M a component at a place:
TE = m(x') - m(x); NIE = m(x; M<-M(x')) - m(x) (noising); NDE = m(x'; M<-M(x)) - m(x) (denoising); TIE = TE - NDE;
interaction = TE - NDE - NIE (J. Vig et al., NeurIPS 2020; J. Pearl, UAI 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from lmx_probes.mediation.answers import Answers
from lmx_probes.mediation.parts import Parts, table_of
from lmx_probes.mediation.roles import Place
from lmx_probes.mediation.trials import Trial
from lmx_probes.patching.capture import Run
from lmx_probes.patching.patch import Patch, Patcher, patch_from

Tensor = torch.Tensor
CHUNK = 4
"""Trials whose runs are held at once; a part of the files."""
Runs = tuple[list[Run], list[Run]]
"""Of the first and of the second text of each trial."""
OWN = "swapped_item"
OF_RESIDUAL = ("all", "before")
"""Roles that other components are not measured at: to replace all of one layer's is no replay, and says little."""
Key = tuple[str, int, int, str]
"""Component, layer, head (-1 for none) and role."""
_WORDS, _NUMBERS = pa.string(), pa.float64()
TYPES: dict[str, dict[str, pa.DataType]] = {
    "effects": {
        **dict.fromkeys(("pair", "layer", "head", "position", "positions"), pa.int64()),
        **dict.fromkeys(("kind", "component", "role", "column"), _WORDS),
        "moves": pa.bool_(),
        **dict.fromkeys(("te", "nie", "nde", "tie", "interaction", "count_te", "count_nie", "count_nde"), _NUMBERS),
    },
    "pairs": {},
    "controls": {
        **dict.fromkeys(("pair", "layer"), pa.int64()),
        **dict.fromkeys(("control", "component", "role"), _WORDS),
        "change": _NUMBERS,
    },
}
"""Of columns that a part may have no rows of."""


@dataclass(frozen=True)
class Grid:
    """What is measured.

    Attributes:
        components: that are asked for. heads: of each layer, for component ``head``. chosen: only these cells, if
            given. both: denoising as well.
    """

    components: tuple[str, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    roles: tuple[str, ...]
    chosen: frozenset[Key] | None = None
    both: bool = True

    @property
    def measured(self) -> dict[str, tuple[str, ...]]:
        """Roles by component.

        The residual stream of the word that differs tells up to which layer nothing has left it, and so which cells of
        that word are 1 by construction. It is measured though the residual stream is not asked for.
        """
        found = dict.fromkeys(self.components, self.roles)
        return found if "residual" in found or OWN not in self.roles else {"residual": (OWN,), **found}

    def cells(self, trial: Trial) -> list[tuple[str, int, int, Place]]:
        """Return component, layer, head (-1 for none) and place of each cell of a trial."""
        return [
            (component, layer, head, place)
            for component, roles in self.measured.items()
            for layer in self.layers
            for head in (self.heads if component == "head" else (-1,))
            for place in trial.slots
            if place.role in roles
            and (component == "residual" or place.role not in OF_RESIDUAL)
            and (self.chosen is None or (component, layer, head, place.role) in self.chosen)
        ]


class Meter:
    """Reads logits as numbers: the metric, and the expected count."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.columns = torch.tensor(answers.tokens)

    def read(self, logits: Tensor, trials: Sequence[Trial]) -> tuple[Tensor, Tensor]:
        """Return m and the expected count, fp64 ``[rows]``, of logits ``[rows, numbers]``."""
        logits = logits.cpu().double()
        rows = torch.arange(len(trials))
        other = torch.tensor([trial.other for trial in trials], dtype=torch.long)
        answer = torch.tensor([trial.answer for trial in trials], dtype=torch.long)
        return logits[rows, other] - logits[rows, answer], self.answers.expected(logits)


def plan_of(trials: Sequence[Trial], grid: Grid, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the effects depend on, in the same order in every process.

    Cells that a screen chooses are not part of it: they follow from the rest, and are kept beside the parts.
    """
    cells = [grid.components, grid.layers, grid.heads, grid.roles, grid.both]
    return {"trials": [_identity(trial) for trial in trials], "grid": cells, "settings": dict(settings)}


def measure(
    patcher: Patcher,
    trials: Sequence[Trial],
    grid: Grid,
    answers: Answers,
    parts: Parts,
    progress: Callable[[Sequence[int]], Iterable[int]] = lambda numbers: numbers,
) -> None:
    """Write the effects of all cells into parts; what is there already stays."""
    meter = Meter(answers)
    numbers = range(-(-len(trials) // CHUNK))
    for number in progress([each for each in numbers if not parts.has(each)]):
        chunk = trials[number * CHUNK : (number + 1) * CHUNK]
        runs = captured(patcher, chunk, grid.components)
        tables = {
            "effects": chunk_effects(patcher, chunk, runs, grid, meter),
            "pairs": chunk_pairs(chunk, runs, meter),
            "controls": controls(patcher, chunk, runs, grid, meter),
        }
        parts.write(number, {name: table_of(columns, TYPES[name]) for name, columns in tables.items()})


def _identity(trial: Trial) -> list[Any]:
    return [trial.number, trial.kind, trial.base, trial.source, trial.answer, trial.other]


def captured(patcher: Patcher, trials: Sequence[Trial], components: Collection[str]) -> Runs:
    """Return the runs of both texts of each trial."""
    bases = patcher.capture([trial.base for trial in trials], tuple(components))
    return bases, patcher.capture([trial.source for trial in trials], tuple(components), bases)


def chunk_effects(
    patcher: Patcher, trials: Sequence[Trial], of_texts: Runs, grid: Grid, meter: Meter
) -> dict[str, list[Any]]:
    """Return the effects of all cells of some trials, as columns."""
    bases, sources = of_texts
    cells = [(i, cell) for i, trial in enumerate(trials) for cell in grid.cells(trial)]
    patches: list[Patch] = []
    for runs, others in ((bases, sources), (sources, bases))[: 1 + grid.both]:
        patches += [
            patch_from(
                patcher.sites, runs[i], others[i], component, layer, place.positions, head if head >= 0 else None
            )
            for i, (component, layer, head, place) in cells
        ]
    logits = patcher.run(patches, columns=meter.columns.to(patcher.model.device))
    of = [trials[i] for i, _ in cells]
    m0, e0 = _plain(bases, trials, meter)
    m1, e1 = _plain(sources, trials, meter)
    own = torch.tensor([i for i, _ in cells], dtype=torch.long)
    noised, e_noised = meter.read(logits[: len(cells)], of)
    missing = torch.full_like(noised, float("nan"))
    denoised, e_denoised = meter.read(logits[len(cells) :], of) if grid.both else (missing, missing)
    te, nie, nde = m1[own] - m0[own], noised - m0[own], denoised - m0[own]
    count_te, count_nie, count_nde = e1[own] - e0[own], e_noised - e0[own], e_denoised - e0[own]
    return {
        "pair": [trial.number for trial in of],
        "kind": [trial.kind for trial in of],
        "moves": [trial.moves for trial in of],
        "component": [cell[0] for _, cell in cells],
        "layer": [cell[1] for _, cell in cells],
        "head": [cell[2] for _, cell in cells],
        "role": [cell[3].role for _, cell in cells],
        "column": [cell[3].column for _, cell in cells],
        "position": [cell[3].positions[0] for _, cell in cells],
        "positions": [len(cell[3].positions) for _, cell in cells],
        "te": te.tolist(),
        "nie": nie.tolist(),
        "nde": nde.tolist(),
        "tie": (te - nde).tolist(),
        "interaction": (te - nde - nie).tolist(),
        "count_te": count_te.tolist(),
        "count_nie": count_nie.tolist(),
        "count_nde": count_nde.tolist(),
    }


def chunk_pairs(trials: Sequence[Trial], runs: Runs, meter: Meter) -> dict[str, list[Any]]:
    """Return one line a trial: what it is, and what the model says of both texts.

    ``numbers_base``, ``numbers_source``: the probability that a number is next, among all tokens.
    """
    m0, e0 = _plain(runs[0], trials, meter)
    m1, e1 = _plain(runs[1], trials, meter)
    says = [[int(run.logits.cpu()[meter.columns].argmax()) for run in side] for side in runs]
    numbers = [[_mass(run.logits.cpu(), meter.columns) for run in side] for side in runs]
    right = [trial.other if trial.moves else trial.answer for trial in trials]
    columns: dict[str, list[Any]] = {
        "pair": [trial.number for trial in trials],
        "kind": [trial.kind for trial in trials],
        "moves": [trial.moves for trial in trials],
        "answer": [trial.answer for trial in trials],
        "other": [trial.other for trial in trials],
        "m_base": m0.tolist(),
        "m_source": m1.tolist(),
        "te": (m1 - m0).tolist(),
        "count_base": e0.tolist(),
        "count_source": e1.tolist(),
        "numbers_base": numbers[0],
        "numbers_source": numbers[1],
        "right_base": [said == trial.answer for said, trial in zip(says[0], trials, strict=True)],
        "right_source": [said == wanted for said, wanted in zip(says[1], right, strict=True)],
    }
    names = list(dict.fromkeys(name for trial in trials for name in trial.about))
    return columns | {name: [trial.about.get(name) for trial in trials] for name in names}


def _mass(logits: Tensor, columns: Tensor) -> float:
    return float(torch.log_softmax(logits.double(), -1)[columns].logsumexp(0).exp())


def _plain(runs: Sequence[Run], trials: Sequence[Trial], meter: Meter) -> tuple[Tensor, Tensor]:
    return meter.read(torch.stack([run.logits.cpu()[meter.columns] for run in runs]), trials)


def controls(
    patcher: Patcher, trials: Sequence[Trial], of_texts: Runs, grid: Grid, meter: Meter
) -> dict[str, list[Any]]:
    """Return what must do nothing, or nothing in particular, a cell of each trial and component.

    ``self``: the base's own activations, as all patches are run; it must be exactly 0. ``self_run``: the same, computed
    again though nothing differs, to see how far rounding carries. ``elsewhere``: the source's activations of another
    position. All are changes of m.
    """
    bases, sources = of_texts
    found: dict[str, list[Any]] = {name: [] for name in ("pair", "control", "component", "layer", "role", "change")}
    chosen: list[tuple[str, Trial, str, int, Place]] = []
    by_control: dict[str, list[Patch]] = {"self": [], "self_run": [], "elsewhere": []}
    for i, trial in enumerate(trials):
        for k, component in enumerate(grid.components):
            draw = 31 * trial.number + 7 * k
            layer, place = grid.layers[draw % len(grid.layers)], trial.places[draw % len(trial.places)]
            head = grid.heads[draw % len(grid.heads)] if component == "head" else None
            own = patch_from(patcher.sites, bases[i], bases[i], component, layer, place.positions, head)
            away = [(draw + 13 * n) % (len(trial.base) - 1) for n in range(1, 1 + len(place.positions))]
            other = patch_from(patcher.sites, bases[i], sources[i], component, layer, away, head)
            moved = Patch(bases[i], component, layer, place.positions, other.values, head)
            for control, patch in (("self", own), ("self_run", own), ("elsewhere", moved)):
                by_control[control].append(patch)
                chosen.append((control, trial, component, layer, place))
    columns = meter.columns.to(patcher.model.device)
    m0, _ = _plain(bases, trials, meter)
    plain = {trial.number: float(value) for trial, value in zip(trials, m0, strict=True)}
    for control, patches in by_control.items():
        rows = [each for each in chosen if each[0] == control]
        logits = patcher.run(patches, identical=control != "self", columns=columns)
        m, _ = meter.read(logits, [trial for _, trial, *_ in rows])
        for (_, trial, component, layer, place), value in zip(rows, m.tolist(), strict=True):
            line = (trial.number, control, component, layer, place.role, value - plain[trial.number])
            for name, each in zip(found, line, strict=True):
                found[name].append(each)
    return found
