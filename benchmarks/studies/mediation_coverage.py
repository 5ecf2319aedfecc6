"""How often 95 % intervals of the proportion mediated cover the truth: simulated data sets, three kinds, three sizes.

    python benchmarks/studies/mediation_coverage.py            # two minutes on one core

Prints coverage of what `lmx mediate` reports, and of its two parts alone.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.stats import cluster_bootstrap
from lmx_analysis.stats.ratios import fieller_of_means, share_intervals, studied

SHARE = 0.4
Floats = NDArray[np.float64]


def drawn(kind: str, pairs: int, sets: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return indirect and total effects ``[pairs, sets]`` of independent data sets with the same true share."""
    if kind == "normal":
        te = rng.normal(5.0, 2.0, (pairs, sets))
        return SHARE * te + rng.normal(0.0, 1.5, (pairs, sets)), te
    te = rng.gamma(2.0, 2.0, (pairs, sets))
    noise = rng.exponential(1.0, te.shape) - 1.0 if kind == "skewed" else rng.normal(0.0, 1.5, te.shape)
    return SHARE * te + noise * te / 4, te


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2_000)
    parser.add_argument("--draws", type=int, default=600)
    args = parser.parse_args()
    print(f"{args.sets} data sets, {args.draws} draws")
    print(f"{'data':10}{'pairs':>6}{'bootstrap-t':>13}{'Fieller':>10}{'both':>8}")
    for kind in ("normal", "heavy", "skewed"):
        for pairs in (15, 30, 80):
            nie, te = drawn(kind, pairs, args.sets, np.random.default_rng(7))
            draws = cluster_bootstrap(partial(studied, effect=nie, whole=te), np.arange(pairs), args.draws, 1)
            value, error = draws[0]
            low, high = np.quantile((draws[1:, 0] - value) / draws[1:, 1], [0.025, 0.975], axis=0)
            found = share_intervals(draws, nie, te)
            shares = [
                _covered(value - high * error, value - low * error),
                _covered(*fieller_of_means(nie, te)),
                _covered(np.array([each.low for each in found]), np.array([each.high for each in found])),
            ]
            print(f"{kind:10}{pairs:6}{shares[0]:13.3f}{shares[1]:10.3f}{shares[2]:8.3f}", flush=True)


def _covered(low: Floats, high: Floats) -> float:
    return float(((low <= SHARE) & (high >= SHARE)).mean())


if __name__ == "__main__":
    main()
