"""Is a counting answer right, and by how much is it off?

An answer without a number is *unparsed*: it counts as wrong everywhere and is never left out of a
denominator of accuracy. Errors are in words (items of the list).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmx_metrics.count_answer import parse_count

__all__ = ["ByCount", "by_count", "by_length", "mean_parsed", "parse_count", "score", "score_answer"]


def score(text: str, gold: int, length: int, category: str = "") -> dict[str, float | None]:
    """Return the metrics of one answer to a list of `length` words, `gold` of which belong to `category`.

    `abs_error` and `bias` (answer minus gold) are None when unparsed. `abs_error_all` then is the
    largest error that an answer within the list could have had, so that silence never pays.
    """
    return score_answer(parse_count(text, category, length), gold, length)


def score_answer(answer: int | None, gold: int, length: int) -> dict[str, float | None]:
    """Return the metrics of an answer that has been read, None where it could not be; see `score`."""
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
    """One row a number (a gold count, a length), `{"count", "n", "accuracy", ...}`: whole in files, short in print.

    A tuple, because lm_eval's table writer ignores `__str__` of dict and list subclasses.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return " ".join(f"{next(iter(row.values()))}:{row['accuracy']:.2f}" for row in self) or "no counts"


def by_count(items: Sequence[Mapping[str, float | None]]) -> ByCount:
    """Break accuracy down by gold count; each item is `{"gold", "accuracy", "bias"}`.

    `mean_answer` is over parsed answers, and None for a count that has none.
    """
    return ByCount(
        {**row, "mean_answer": None if math.isnan(bias) else row["count"] + bias}
        for row, bias in _by_number(items, "gold", "count")
    )


def by_length(items: Sequence[Mapping[str, float | None]]) -> ByCount:
    """Break accuracy down by the number of words in the list; each item is `{"length", "accuracy", "bias"}`.

    `bias` is the mean of answer minus gold over parsed answers, and None for a length that has none.
    """
    return ByCount(
        {**row, "bias": None if math.isnan(bias) else bias} for row, bias in _by_number(items, "length", "length")
    )


def _by_number(items: Sequence[Mapping[str, float | None]], key: str, name: str) -> list[tuple[dict[str, Any], float]]:
    """Return a row for each value of `key`, ascending, and the mean bias of its parsed answers."""
    groups: dict[int, list[Mapping[str, float | None]]] = {}
    for item in items:
        groups.setdefault(int(item[key] or 0), []).append(item)
    return [
        (
            {
                name: number,
                "n": len(members),
                "accuracy": sum(member["accuracy"] or 0.0 for member in members) / len(members),
            },
            mean_parsed(member["bias"] for member in members),
        )
        for number, members in sorted(groups.items())
    ]
