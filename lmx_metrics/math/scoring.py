"""The values of one answer to a problem whose gold answer is known, and their breakdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lmx_metrics.aggregation import ByDomain, domain_rows
from lmx_metrics.math.compare.equivalence import Compare, exact_match, math_equal
from lmx_metrics.math.notation.answer import extract, extract_all
from lmx_metrics.math.notation.latex import split
from lmx_metrics.math.notation.normalise import normalise
from lmx_metrics.math.process.worker import Budget
from lmx_metrics.text import trace_of


def score(text: str, gold: str) -> dict[str, float]:
    """`math_equal`, `exact_match` and `parse_rate` of a response, 0.0 or 1.0; unparsed is wrong, never left out.

    `truncated`, whether the text ran into the limit on tokens, is there only when the response carries a trace:
    a text alone does not show why it ended.
    """
    answer = extract(text)
    exact = answer is not None and exact_match(gold, answer)
    compare = Budget().compare
    equal = exact or (
        answer is not None and (math_equal(gold, answer, compare) or _given_apart(text, gold, answer, compare))
    )
    values = {"math_equal": float(equal), "exact_match": float(exact), "parse_rate": float(answer is not None)}
    finish = getattr(trace_of(text), "finish", None)
    if finish is not None:
        values["truncated"] = float(finish in ("length", "context"))
    return values


def _given_apart(text: str, gold: str, answer: str, compare: Compare) -> bool:
    """Whether the members of a gold list stand in boxes of their own, as many as it has, and none is taken back."""
    if "boxed" not in text or len(members := split(normalise(gold)[0], {",", ";"})) < 2:
        return False
    every = extract_all(text)
    return len(every) == len(members) and ", ".join(every) != answer and math_equal(gold, ", ".join(every), compare)


MAX_SHOWN = 5
"""Rows whose values fit into a cell of lm_eval's table: the levels do, the subjects do not."""


class Breakdown(ByDomain):
    """Rows of a breakdown; the table cell shows `math_equal` of each row, if they are few."""

    __slots__ = ()

    def __str__(self) -> str:
        if len(self) > MAX_SHOWN:
            return super().__str__()
        return ", ".join(f"{row['domain']} {float(row['math_equal']):.2f}" for row in self)


def breakdown(items: Sequence[Mapping[str, float | str]]) -> Breakdown:
    """One row for each value of `domain`, in alphabetical order: `n`, and mean and standard error of every metric.

    The standard error is s / sqrt(n) with n - 1 in s, as lm_eval's; it is left out for a single problem, and where all
    values are alike. See `domain_rows`.
    """
    return Breakdown(domain_rows(items, stderr=True))
