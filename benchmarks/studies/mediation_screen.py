"""How many of the strongest cells the screen of `lmx mediate` finds, and at which part of the cost.

    python benchmarks/studies/mediation_screen.py RUN --pairs 32      # a finished counting run with --log_samples

Measures all cells exactly, then compares the top 5 % with what attribution patching would have chosen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from lmx_analysis.mediation.cells import cells_of
from lmx_files.runs.folders import read_run
from lmx_probes.mediation.measure import CHUNK, Meter, captured, chunk_effects, chunk_pairs
from lmx_probes.mediation.screen import chosen, screen
from lmx_probes.mediation.study import Options, grid_of, load_patcher, model_of, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--components", default="residual,attention,mlp,head")
    args = parser.parse_args()
    run = read_run(args.run)
    name = model_of(run)
    patcher, tokenizer, _ = load_patcher(name, "cpu", "float32")
    options = Options(components=tuple(args.components.split(",")), pairs=args.pairs, controls=0, both=False)
    study = prepare(patcher, tokenizer, name, run, options)
    grid = grid_of(patcher, options)
    started = time.process_time()
    estimates = screen(patcher, study.trials, grid, study.answers)
    screening = time.process_time() - started
    started = time.process_time()
    effects, pairs, meter = [], [], Meter(study.answers)
    for first in range(0, len(study.trials), CHUNK):
        some = study.trials[first : first + CHUNK]
        runs = captured(patcher, some, grid.components)
        effects.append(pd.DataFrame(chunk_effects(patcher, some, runs, grid, meter)))
        pairs.append(pd.DataFrame(chunk_pairs(some, runs, meter)))
    exact = time.process_time() - started
    cells = cells_of(pd.concat(effects), pd.concat(pairs), patcher.sites.layers)
    size = np.abs(cells.shares("nie"))
    ranked = [tuple(cell) for cell in cells.index.iloc[np.argsort(-size)].to_numpy().tolist()]
    top = set(ranked[: max(1, round(0.05 * len(ranked)))])
    print(f"{name}: {len(ranked)} cells, {len(study.trials)} pairs, exact {exact:.1f} s, screen {screening:.1f} s")
    for share in (0.05, 0.07, 0.08, 0.1):
        recall = len(top & chosen(estimates, share)) / len(top)
        print(f"  {share:.0%} of cells chosen: {recall:.3f} of the top 5 %; screen {screening / exact:.1%} of the cost")


if __name__ == "__main__":
    main()
