"""The settings of random runs that would hit a share of oracle tokens."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

Run = tuple[float, float]
"""The `prob` of a random run, and the share that was measured of it."""


def probability(share: float, k: float, runs: Sequence[Run] = ()) -> float | None:
    """Return the `prob` with which random consultation gives the oracle a share of the tokens.

    A rate r per base token gives the share r k / (r k + 1) of a long text. Answers end early and the last segment is
    cut, so measured odds share / (1 - share) differ from r k: where `runs` of the same k were measured, log odds are
    read off the line through them, and with slope 1 beyond.

    Args:
        share: wanted, between 0 and 1. k: tokens of a consultation.

    Returns:
        None where no `prob` up to 1 does it.
    """
    if not 0 < share < 1 or not 0 < k < math.inf:
        return None
    wanted = math.log(share / (1 - share))
    known = sorted({math.log(p): math.log(s / (1 - s)) for p, s in runs if 0 < p <= 1 and 0 < s < 1}.items())
    found = wanted - math.log(k)
    if known:
        (first, low), (last, high) = known[0], known[-1]
        found = first + wanted - low if wanted <= low else last + wanted - high
        for (x0, y0), (x1, y1) in itertools.pairwise(known):
            if y0 < wanted <= y1:
                found = x0 + (x1 - x0) * (wanted - y0) / (y1 - y0)
    return math.exp(found) if found <= 1e-9 else None


def random_setting(share: float, settings: dict[str, Any], controls: Sequence[tuple[dict[str, Any], float]]) -> str:
    """Return the settings of a random run with a point's share, e.g. ``k=10 prob=0.032``; empty if there are none.

    Args:
        settings: of the point. controls: settings and shares of the random runs; those of the same k and without a
            limit of consultations are used.
    """
    k = settings.get("k", math.inf)
    runs = [
        (float(each["prob"]), found)
        for each, found in controls
        if each.get("k") == k and each.get("c") == math.inf and isinstance(each.get("prob"), (int, float))
    ]
    rate = probability(share, k, runs)
    return "" if rate is None else f"k={k:g} prob={rate:.3g}"
