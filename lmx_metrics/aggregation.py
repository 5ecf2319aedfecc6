"""From values of single samples to values of prompts and domains."""

from __future__ import annotations

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
        values = [float(row[metric]) for row in self]
        return f"{metric} {min(values):.2f} to {max(values):.2f} over {len(self)} domains"


def by_domain(items: Sequence[Mapping[str, float | str]]) -> ByDomain:
    """Mean of every value by domain, in alphabetical order. An item is `{"domain": ..., metric: value}`."""
    groups: dict[str, list[Mapping[str, float | str]]] = {}
    for item in items:
        groups.setdefault(str(item["domain"]), []).append(item)
    rows: list[dict[str, float | str]] = []
    for domain, members in sorted(groups.items()):
        names = [name for name in members[0] if name != "domain"]
        means = {name: sum(float(member[name]) for member in members) / len(members) for name in names}
        rows.append({"domain": domain, "n": len(members), **means})
    return ByDomain(rows)


def texts_of_document(results: Sequence[Any]) -> list[Any]:
    """Return all texts of one document from what lm_eval gives to `process_results`.

    lm_eval 0.4 gives a list of one item, the text or, with several samples, the list of them; 0.5 gives the texts.
    """
    return list(results[0]) if isinstance(results[0], list) else list(results)


def average(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each metric over several samples of one prompt; all must hold the same metrics.

    Averaging inside a prompt first makes the standard error over prompts a clustered one.
    """
    rows = list(samples)
    if not rows:
        raise ValueError("no samples to average")
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
