r"""The gold answer of a worked solution.

Most solutions box one answer, or the same one twice. Where several different ones are boxed, the problem and the words
around the boxes tell what they are: members of one answer, alternatives, or steps before the last.
"""

from __future__ import annotations

import re

from lmx_metrics.math.notation.answer import after_phrase, extract
from lmx_metrics.math.notation.boxes import Box, boxes, distinct, joined
from lmx_metrics.math.notation.normalise import normalise

ALTERNATIVE = r" \text{ or else } "
"""Stands between answers of which each alone is right."""

_ASKS_FOR_SEVERAL = re.compile(r"separated by (?:a )?commas?|comma[- ]separated|separated by comma\(s\)", re.IGNORECASE)
_ALSO_RIGHT = re.compile(
    r"\b(?:also|either)\b[^.]{0,40}\b(?:accepted|acceptable|a correct|a valid)\b|\bis an? (?:acceptable|valid) answer",
    re.IGNORECASE,
)
_LINK_IS_OR = re.compile(r"[\s$.,\\()\[\]]*\bor\b[\s$\\()\[\]]*")


def gold_answer(problem: str, solution: str) -> str | None:
    r"""Return the answer that a solution boxes, or None where it boxes none.

    Several different boxes are one list where the problem asks for answers "separated by commas". They are
    alternatives, joined by `ALTERNATIVE`, where the solution says that each is acceptable or joins them by "or".
    Else the last one is the answer, with those that are joined to it by "and" or a comma. A solution that says that
    it does not box its answer is read by its words.
    """
    found = boxes(solution, percent=False)
    if not found:
        return None
    different = _different(found)
    if len(different) == 1:
        return extract(solution) if "not boxed" in solution else found[-1].content
    if _ASKS_FOR_SEVERAL.search(problem):
        return ", ".join(different)
    after_first = solution[found[0].end :]
    if _ALSO_RIGHT.search(after_first):
        return ALTERNATIVE.join(different)
    if len(found) > 1 and _LINK_IS_OR.fullmatch(solution[found[-2].end : found[-1].start]):
        return ALTERNATIVE.join(_different(found[-2:]))
    if "not boxed" in solution and (said := after_phrase(solution)):
        return said
    return ", ".join(joined(solution, found))


def alternatives(gold: str) -> list[str]:
    """Return the answers of which each is right; most often one."""
    return gold.split(ALTERNATIVE)


def _different(found: list[Box]) -> list[str]:
    """The contents, each spelling once."""
    kept: dict[tuple[str, str], str] = {}
    for content in distinct(found):
        kept[normalise(content)] = content  # the last way in which it was written
    return list(kept.values())
