r"""Is an answer the same as the gold answer? By its spelling, by exact arithmetic, else by computer algebra.

1. Both are brought into one spelling (`lmx_metrics.math.normalise`); equal strings are equal answers.
2. Both are taken apart (`lmx_metrics.math.shapes`): brackets and their kinds, sizes and orders must agree.
3. The members are compared: numbers exactly, words as words, and the rest by sympy in another process that has limits
   on time and memory (`lmx_metrics.math.worker`). What runs into a limit is not equal.

Nothing here raises on any text, and no text is evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lmx_metrics.math import worker
from lmx_metrics.math.normalise import MAX_LENGTH, is_words, normalise, spell, tighten
from lmx_metrics.math.numbers import based, number
from lmx_metrics.math.shapes import Shape, ascending, interval, named, right_side, shape
from lmx_metrics.math.units import PERCENT, compatible
from lmx_metrics.math.worker import LimitError

Compare = Callable[[str, str], bool]
"""Compares two expressions; raises `LimitError`."""

MAX_MEMBERS = 64
"""Members of a list beyond which only its spelling is compared."""

_RELATION = re.compile(r"[<>]|\\(?:le|ge)(?![A-Za-z])")
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{5,}")
_PLAIN_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\s*\d{3})+")


def exact_match(gold: str, answer: str) -> bool:
    r"""Whether two answers are the same string once they are spelled alike, without contradicting units."""
    (value, unit), (other, other_unit) = normalise(gold), normalise(answer)
    return value == other and compatible(unit, other_unit)


def math_equal(gold: str, answer: str, compare: Compare | None = None) -> bool:
    """Whether two answers mean the same; `compare` replaces the process that compares expressions.

    The comparison follows the gold answer's form: a name in front of a value (`x=5`), a unit or a base may be left
    out or added, a different one may not.
    """
    if exact_match(gold, answer):
        return True
    if max(len(gold), len(answer)) > MAX_LENGTH:
        return False
    (value, unit), (other, other_unit) = normalise(gold), normalise(answer)
    if not value or not other or not compatible(unit, other_unit):
        return False
    if (unit == PERCENT) != (other_unit == PERCENT) and _is_share(value, other, unit == PERCENT):
        return True
    matcher = _Matcher(compare or worker.compare)
    try:
        return any(matcher.same(one, two) for one, two in _readings(gold, answer, value, other))
    except LimitError:
        return False


def _is_share(value: str, other: str, gold_is_percent: bool) -> bool:
    """Whether 0.09 stands on one side and 9% on the other."""
    one, two = number(value), number(other)
    if one is None or two is None:
        return False
    return one == 100 * two if gold_is_percent else two == 100 * one


def _readings(gold: str, answer: str, value: str, other: str) -> list[tuple[str, str]]:
    """Pairs to compare: `70,110` may be a number or a list, so both sides are read both ways, alike."""
    pairs = [(value, other)]
    listed = [tighten(spell(text)) for text in (gold, answer)]
    if any(_PLAIN_THOUSANDS.fullmatch(text) for text in listed) and all("," in text for text in listed):
        pairs.append((listed[0], listed[1]))
    return pairs


class _Matcher:
    """Compares the gold answer's form, member by member."""

    def __init__(self, compare: Compare) -> None:
        self.compare = compare

    def same(self, gold: str, answer: str) -> bool:
        """Compare two normalised answers, with names and inequalities brought to one form."""
        if gold == answer:
            return True
        ours, theirs = named(gold), named(answer)
        if ours and theirs and ours[0] == theirs[0]:
            return self.same(ours[1], theirs[1])
        if ours and "=" not in answer and not _RELATION.search(answer):
            gold = ours[1]
        elif "=" not in gold and not _RELATION.search(gold) and (theirs or "=" in answer):
            value = theirs[1] if theirs else right_side(answer)
            answer = value if value is not None else answer
        if bool(_RELATION.search(gold)) != bool(_RELATION.search(answer)):
            gold, answer = (interval(gold) or gold), (interval(answer) or answer)
        elif _RELATION.search(gold) and "," not in gold + answer:
            gold, answer = ascending(gold), ascending(answer)
        return self.shapes(shape(gold), shape(answer))

    def shapes(self, gold: Shape, answer: Shape) -> bool:
        """Compare two answers that were taken apart."""
        if gold == answer:
            return True
        if gold.kind != answer.kind:
            # a set or list of one member is that member
            if gold.kind == "list" and len(gold.parts) == 1:
                return self.shapes(gold.parts[0], answer)
            if answer.kind == "list" and len(answer.parts) == 1:
                return self.shapes(gold, answer.parts[0])
            if {gold.kind, answer.kind} == {"leaf", "matrix"}:  # a multiple of a matrix is one expression
                return self.compare(gold.text, answer.text)
            return False
        if gold.kind == "leaf":
            return self.leaves(gold.text, answer.text)
        if gold.brackets != answer.brackets or len(gold.parts) != len(answer.parts) or len(gold.parts) > MAX_MEMBERS:
            return False
        if gold.kind in ("list", "union"):
            return self.in_any_order(gold.parts, answer.parts)
        return all(self.shapes(one, two) for one, two in zip(gold.parts, answer.parts, strict=True))

    def in_any_order(self, gold: tuple[Shape, ...], answer: tuple[Shape, ...]) -> bool:
        """Match members one to one. Taking the first match is right because equality is transitive."""
        left = list(answer)
        wanted = []
        for member in gold:
            if member in left:
                left.remove(member)
            else:
                wanted.append(member)
        for member in wanted:
            match = next((other for other in left if self.shapes(member, other)), None)
            if match is None:
                return False
            left.remove(match)
        return True

    def leaves(self, gold: str, answer: str) -> bool:
        """Compare two single expressions."""
        gold, answer = (text.removesuffix("%").removesuffix("\\") for text in (gold, answer))
        if gold == answer:
            return True
        if (one := based(gold)) or based(answer):
            return _same_numeral(one, gold, based(answer), answer)
        value, other = number(gold), number(answer)
        if value is not None and other is not None:
            return value == other
        if ":" in gold or ":" in answer:
            return _same_ratio(gold, answer)
        if any(is_words(text) or _PROSE.search(text) for text in (gold, answer)):
            return False
        return self.compare(gold, answer)


def _same_numeral(one: tuple[str, int] | None, gold: str, two: tuple[str, int] | None, answer: str) -> bool:
    """The same digits in the same base; the base may be left out, or added to a gold answer if it is ten."""
    if one and two:
        return one == two
    return one[0] == answer if one else two == (gold, 10)


def _same_ratio(gold: str, answer: str) -> bool:
    """`1:2` and `2:4`; a ratio is not a fraction."""
    ours, theirs = ([number(part) for part in text.split(":")] for text in (gold, answer))
    if len(ours) != len(theirs) or None in ours or None in theirs:
        return False
    pairs = [(one or 0, two or 0) for one, two in zip(ours, theirs, strict=True)]
    return all(a * d == b * c for a, b in pairs for c, d in pairs) and any(a * b for a, b in pairs)
