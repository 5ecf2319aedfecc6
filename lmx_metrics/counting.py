"""Is a counting answer right, and by how much is it off?

An answer without a number is *unparsed*: it counts as wrong everywhere and is never left out of a
denominator of accuracy. Errors are in words (items of the list).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from lmx_metrics.text import normalise_newlines, split_reasoning

NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_VALUES = {word: value for value, word in enumerate(NUMBER_WORDS.split())} | {"none": 0}

_NUMBER = r"(?<![\w.,-])(\d{1,4}|" + "|".join(_VALUES) + r")(?!\w|[.,]\d|%)"
_ANY = re.compile(_NUMBER, re.IGNORECASE)
_CUED = re.compile(r"(?:answer|total|count|there (?:are|is))\b[^\n\d.!?]{0,24}?(?<=[\s:*=({])" + _NUMBER, re.IGNORECASE)


def parse_count(text: str) -> int | None:
    """Return the number an answer gives, or None.

    It is the last number that follows "answer", "total", "count" or "there are" in the same sentence,
    else the first number of the text; as digits or as an English word up to twenty ("none" is 0).
    Reasoning blocks are left out; a negative number, a fraction or a percentage is not a count.

    >>> parse_count("3"), parse_count("The answer is **two**."), parse_count("many")
    (3, 2, None)
    """
    answer = split_reasoning(normalise_newlines(text), "\0")[0]
    cued = _CUED.findall(answer)
    found = cued[-1:] or _ANY.findall(answer)[:1]
    if not found:
        return None
    token = found[0].casefold()
    return _VALUES[token] if token in _VALUES else int(token)


def score(text: str, gold: int, length: int) -> dict[str, float | None]:
    """Return the metrics of one answer to a list of `length` words, `gold` of which count.

    `abs_error` and `bias` (answer minus gold) are None when unparsed. `abs_error_all` then is the
    largest error that an answer within the list could have had, so that silence never pays.
    """
    answer = parse_count(text)
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
