"""Means of overlap by task or category, over the rows that have a value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lmx_metrics.aggregation import ByDomain


def breakdown(items: Sequence[Mapping[str, float | str]]) -> ByDomain:
    """Return a row for each `domain`, in alphabetical order: `n`, mean and standard error of every metric.

    A metric that some rows lack (they are unscorable) is averaged over those that have it, `n_<metric>` of them; one
    that no row has is left out. `unscorable` is counted, not averaged. The standard error is s / sqrt(n) with n - 1 in
    s, as lm_eval's.
    """
    groups: dict[str, list[Mapping[str, float | str]]] = {}
    for item in items:
        groups.setdefault(str(item["domain"]), []).append(item)
    return ByDomain(_row(domain, members) for domain, members in sorted(groups.items()))


def _row(domain: str, members: Sequence[Mapping[str, float | str]]) -> dict[str, float | str]:
    row: dict[str, float | str] = {"domain": domain, "n": len(members)}
    names = dict.fromkeys(name for member in members for name in member if name != "domain")
    for name in names:
        values = [float(member[name]) for member in members if name in member]
        if name == "unscorable":
            row[name] = int(sum(values))
            continue
        n = len(values)
        row[name] = mean = sum(values) / n
        if n < len(members):
            row[f"n_{name}"] = n
        if n > 1:
            row[f"{name}_stderr"] = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return row


def total(values: Sequence[float]) -> float:
    """Return the sum: how many rows are unscorable."""
    return float(sum(values))
