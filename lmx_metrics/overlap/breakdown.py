"""Means of overlap by task or category, over the rows that have a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmx_metrics.aggregation import ByDomain, domain_rows


def breakdown(items: Sequence[Mapping[str, Any]]) -> ByDomain:
    """Return a row for each `domain`, with standard errors as in `domain_rows`; `unscorable` is a count of rows."""
    rows = domain_rows([{name: value for name, value in item.items() if name != "unscorable"} for item in items], True)
    if any("unscorable" in item for item in items):
        counts = dict.fromkeys((row["domain"] for row in rows), 0)
        for item in items:
            counts[str(item["domain"])] += int(item["unscorable"])
        rows = [{**row, "unscorable": counts[row["domain"]]} for row in rows]
    return ByDomain(rows)


def total(values: Sequence[float]) -> float:
    """Return the sum: how many rows are unscorable."""
    return float(sum(values))
