"""How many of the strongest cells the screen of `lmx mediate` finds, and at which part of the cost.

    python benchmarks/studies/mediation_screen.py RUN --pairs 32      # a finished counting run with --log_samples

Measures all cells exactly, as the command does by default (both directions), then screens and measures only the chosen
cells. Recall is of the top 5 %, by exact noising effect, of the cells that can be concluded from: those by construction
and controls are neither ranked nor counted, nor is the residual stream of the word that differs where it is always
measured. Cost is processor time of the screen and of the chosen cells' measurement together, of the time of all
cells.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lmx_analysis.mediation.cells import cells_of
from lmx_files.runs.folders import read_run
from lmx_models.harness.asking import arguments_of
from lmx_probes.mediation.measure import CHUNK, Grid, Meter, captured, chunk_effects, chunk_pairs
from lmx_probes.mediation.screen import screen, screened
from lmx_probes.mediation.study import Options, Study, grid_of, load_patcher, prepare
from lmx_probes.mediation.subject import subject_of
from lmx_probes.mediation.trials import Trial

SHARES = (0.04, 0.05, 0.06, 0.07, 0.08)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--components", default="residual,attention,mlp,head")
    parser.add_argument("--one-way", action="store_true", help="leave out denoising")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)), help="of cells to measure after the screen")
    args = parser.parse_args()
    run = read_run(args.run)
    subject = subject_of(run, arguments_of)
    name = subject.name
    patcher, loaded = load_patcher(subject, "cpu", "float32")
    options = Options(components=tuple(args.components.split(",")), pairs=args.pairs, controls=0, both=not args.one_way)
    study = prepare(patcher, loaded.tokenizer, name, run, options)
    grid = grid_of(patcher, options)
    measured(study, grid, study.trials[:1])  # warm
    started = time.process_time()
    estimates = screen(patcher, study.trials, grid, study.answers)
    screening = time.process_time() - started
    effects, pairs, exact = measured(study, grid, study.trials)
    cells = cells_of(effects, pairs, patcher.sites.layers, asked=grid.components)
    size = np.abs(cells.shares("nie"))
    keys = [tuple(cell) for cell in cells.index.to_numpy().tolist()]
    free = np.array([not mark and key not in estimates.own for key, mark in zip(keys, cells.marks, strict=True)])
    ranked = [tuple(cell) for cell in cells.index[free].iloc[np.argsort(-size[free])].to_numpy().tolist()]
    top = set(ranked[: max(1, round(0.05 * len(ranked)))])
    print(
        f"{name}: {len(cells)} cells, {len(ranked)} of them can be concluded from, {len(study.trials)} pairs, "
        f"exact {exact:.1f} s, screen {screening:.1f} s"
    )
    for share in map(float, args.shares.split(",")):
        part = screened(grid, estimates, share)
        seconds = measured(study, part, study.trials)[2]
        recall = len(top & (part.chosen or frozenset())) / len(top)
        print(
            f"  {share:.0%} of these chosen: {recall:.3f} of the top 5 %; cost {(screening + seconds) / exact:.1%} "
            f"(screen {screening / exact:.1%}, chosen cells {seconds / exact:.1%})",
            flush=True,
        )


def measured(study: Study, grid: Grid, trials: Sequence[Trial]) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Return effects and pairs of a grid's cells, and the processor seconds they took."""
    effects, pairs, meter = [], [], Meter(study.answers)
    started = time.process_time()
    for first in range(0, len(trials), CHUNK):
        some = trials[first : first + CHUNK]
        runs = captured(study.patcher, some, grid.components)
        effects.append(pd.DataFrame(chunk_effects(study.patcher, some, runs, grid, meter)))
        pairs.append(pd.DataFrame(chunk_pairs(some, runs, meter)))
    return pd.concat(effects), pd.concat(pairs), time.process_time() - started


if __name__ == "__main__":
    main()
