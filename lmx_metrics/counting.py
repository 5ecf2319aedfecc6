"""Is a counting answer right, and by how much is it off?

An answer without a number is *unparsed*: it counts as wrong everywhere and is never left out of a
denominator of accuracy. Errors are in words (items of the list).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from lmx_metrics.count_answer import parse_count

__all__ = ["ByCount", "by_count", "mean_parsed", "parse_count", "score"]


def score(text: str, gold: int, length: int, category: str = "") -> dict[str, float | None]:
    """Return the metrics of one answer to a list of `length` words, `gold` of which belong to `category`.

    `abs_error` and `bias` (answer minus gold) are None when unparsed. `abs_error_all` then is the
    largest error that an answer within the list could have had, so that silence never pays.
    """
    answer = parse_count(text, category, length)
    if answer is None:
        worst = float(max(gold, length - gold))
        return {
            "accuracy": 0.0, "parse_rate": 0.0, "abs_error": None, "abs_error_all": worst, "bias": None,
            "says_zero": 0.0,
        }  # fmt: skip
    error = float(answer - gold)
    return {
        "accuracy": float(error == 0),
        "parse_rate": 1.0,
        "abs_error": abs(error),
        "abs_error_all": abs(error),
        "bias": error,
        "says_zero": float(answer == 0),
    }


def mean_parsed(values: Iterable[float | None]) -> float:
    """Return the mean over parsed answers (not None), or nan when there are none."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else float("nan")


def _standard_error_parsed(values: Iterable[float | None]) -> float | str:
    """Return s / sqrt(n) over the n parsed answers, with n - 1 in s; "N/A" for fewer than two."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return "N/A"
    return math.sqrt(sum((v - sum(known) / len(known)) ** 2 for v in known) / (len(known) - 1) / len(known))


mean_parsed.standard_error = _standard_error_parsed  # type: ignore[attr-defined]  # asked for by lmx_plugins


class ByCount(tuple[dict[str, float | None], ...]):
    """One row a gold count, `{"count", "n", "accuracy", "mean_answer"}`: whole in files, short in print.

    A tuple, because lm_eval's table writer ignores `__str__` of dict and list subclasses.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return " ".join(f"{row['count']}:{row['accuracy']:.2f}" for row in self) or "no counts"


def by_count(items: Sequence[Mapping[str, float | None]]) -> ByCount:
    """Break accuracy down by gold count; each item is `{"gold", "accuracy", "bias"}`.

    `mean_answer` is over parsed answers, and None for a count that has none.
    """
    groups: dict[int, list[Mapping[str, float | None]]] = {}
    for item in items:
        groups.setdefault(int(item["gold"] or 0), []).append(item)
    rows: list[dict[str, float | None]] = []
    for gold, members in sorted(groups.items()):
        bias = mean_parsed(member["bias"] for member in members)
        rows.append(
            {
                "count": gold,
                "n": len(members),
                "accuracy": sum(member["accuracy"] or 0.0 for member in members) / len(members),
                "mean_answer": None if math.isnan(bias) else gold + bias,
            }
        )
    return ByCount(rows)
