"""From values of single samples to values of prompts and domains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class ByDomain(tuple[dict[str, float | str], ...]):
    """One row a domain, `{"domain": ..., "n": prompts, metric: mean, ...}`: whole in files, short in print.

    lm_eval prints one table cell a metric. Twenty domains would make twenty rows of two or three prompts
    each, so the cell shows the range of the first metric over the domains only. It is a tuple, because
    lm_eval's table writer ignores `__str__` of dict and list subclasses; in JSON it is a list of rows.
    """

    __slots__ = ()

    def __str__(self) -> str:
        metric = next((name for row in self for name in row if name not in ("domain", "n")), None)
        if metric is None:
            return "no domains"
        values = [float(row[metric]) for row in self if metric in row]
        return f"{metric} {min(values):.2f} to {max(values):.2f} over {len(self)} domains"


def by_domain(items: Sequence[Mapping[str, float | str]]) -> ByDomain:
    """Mean of every value by domain, in alphabetical order. An item is `{"domain": ..., metric: value}`."""
    return ByDomain(domain_rows(items))


def domain_rows(items: Sequence[Mapping[str, Any]], stderr: bool = False) -> list[dict[str, Any]]:
    """Return a row for each `domain`, in alphabetical order: `n`, and the mean of every metric that any item has.

    An item without a value of some metric (missing, None or NaN) is left out of its mean; `METRIC_n` then says how many
    of the `n` have one, and a metric that none of a domain has is left out of its row. With `stderr` the standard error
    s / sqrt(n), with n - 1 in s, stands beside each mean; values that are all alike have none, since a few equal values
    do not show that nothing varies.
    """
    names = list(dict.fromkeys(name for item in items for name in item if name != "domain"))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        groups.setdefault(str(item["domain"]), []).append(item)
    rows: list[dict[str, Any]] = []
    for domain, members in sorted(groups.items()):
        row: dict[str, Any] = {"domain": domain, "n": len(members)}
        for name in names:
            values = [float(member[name]) for member in members if _has(member.get(name))]
            if not values:
                continue
            row[name] = mean = sum(values) / len(values)
            squares = sum((value - mean) ** 2 for value in values)
            if stderr and max(values) > min(values):
                row[f"{name}_stderr"] = math.sqrt(squares / (len(values) - 1) / len(values))
            if len(values) < len(members):
                row[f"{name}_n"] = len(values)
        rows.append(row)
    return rows


def _has(value: Any) -> bool:
    return value is not None and not math.isnan(float(value))


def texts_of_document(results: Sequence[Any]) -> list[Any]:
    """Return all texts of one document from what lm_eval gives to `process_results`.

    lm_eval 0.4 gives a list of one item, the text or, with several samples, the list of them; 0.5 gives the texts.
    Where a server gave none (a refusal, say), the text is empty.
    """
    texts = results[0] if isinstance(results[0], list) else results
    return ["" if text is None else text for text in texts]


def average(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each metric over several samples of one prompt, for the metrics that all of them hold.

    Averaging inside a prompt first makes the standard error over prompts a clustered one. A metric that only some
    samples hold (whose end a trace tells, say) has no mean over the prompt, whichever of them comes first.
    """
    rows = list(samples)
    if not rows:
        raise ValueError("no samples to average")
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0] if all(name in row for row in rows)}
