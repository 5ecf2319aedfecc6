r"""Is an answer the same as the gold answer? By its spelling, by exact arithmetic, else by computer algebra.

1. Both are brought into one spelling (`lmx_metrics.math.notation.normalise`); equal strings are equal answers.
2. Sets of real numbers, times and choices are compared as such; names, and chains of equations that are true, are
   reduced to their value.
3. Both are taken apart (`lmx_metrics.math.compare.shapes`): brackets and their kinds, sizes and orders must agree.
4. The members are compared: numbers exactly, words as words, and the rest by sympy in another process that has limits
   on time and memory (`lmx_metrics.math.process.worker`). What runs into a limit is not equal.

Nothing here raises on any text, and no text is evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lmx_metrics.math.compare import sets
from lmx_metrics.math.compare.arithmetic import evaluated
from lmx_metrics.math.compare.clock import same_ratio, same_time
from lmx_metrics.math.compare.equations import after_name, chain, in_percent, is_quantity, named, names
from lmx_metrics.math.compare.products import explicit
from lmx_metrics.math.compare.shapes import Shape, ascending, shape
from lmx_metrics.math.notation.gold import alternatives
from lmx_metrics.math.notation.latex import split
from lmx_metrics.math.notation.normalise import MAX_LENGTH, is_words, normalise, spell, tighten
from lmx_metrics.math.notation.numbers import based, in_words, number
from lmx_metrics.math.notation.units import PERCENT, compatible
from lmx_metrics.math.process import worker
from lmx_metrics.math.process.worker import LimitError

Compare = Callable[[str, str], bool]
"""Compares two expressions; raises `LimitError`."""

MAX_MEMBERS = 64
"""Members of a list beyond which only its spelling is compared."""

_RELATION = re.compile(r"[<>]|\\(?:le|ge)(?![A-Za-z])")
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{5,}")
_PLAIN_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\s*\d{3})+")
_CHOICE = re.compile(
    r"(?:option|choice|answer)?\s?(?:\(([A-Z])\)|([A-Z])[).:])(?![,;])(.*)|(?:option|choice)\s\(?([a-z])\)?", re.DOTALL
)
_LABEL = re.compile(r"\(?[A-Z]\)|\\(?:and|or)")


def exact_match(gold: str, answer: str) -> bool:
    r"""Whether two answers are the same string once they are spelled alike, without contradicting units."""
    other, other_unit = normalise(answer)
    golds = [normalise(each) for each in alternatives(gold)]
    return any(value == other and compatible(unit, other_unit) for value, unit in golds)


def math_equal(gold: str, answer: str, compare: Compare | None = None) -> bool:
    """Whether two answers mean the same; `compare` replaces the process that compares expressions.

    The comparison follows the gold answer's form: a name in front of a value (`x=5`), a unit or a base may be left
    out or added, a different one may not. Of a gold answer with alternatives each is right, and so are several of them.
    All comparisons of the answer share one budget of time.
    """
    if exact_match(gold, answer):
        return True
    if max(len(gold), len(answer)) > MAX_LENGTH:
        return False
    matcher = _Matcher(compare or worker.Budget().compare)
    golds = alternatives(gold)
    try:
        if any(_same(matcher, each, answer) for each in golds):
            return True
        members = split(normalise(answer)[0], {",", ";"})
        if len(golds) == 1 or len(members) == 1:
            return False
        return all(any(_same(matcher, each, member) for each in golds) for member in members)
    except LimitError:
        return False


def _same(matcher: _Matcher, gold: str, answer: str) -> bool:
    (value, unit), (other, other_unit) = normalise(gold), normalise(answer)
    if not value or not other or not compatible(unit, other_unit):
        return False
    if (unit == PERCENT) != (other_unit == PERCENT) and _is_share(value, other, unit == PERCENT):
        return True
    if other_unit == PERCENT and "=" in other:
        chained = in_percent(other)
        wanted = [value] if unit == PERCENT else [value, rf"100\cdot({value})"]
        return any(matcher.same(each, chained) for each in wanted)
    if (verdict := same_time(value, unit, other, other_unit)) is not None and "=" not in other:
        return verdict
    return any(matcher.same(one, two) for one, two in _readings(gold, answer, value, other))


def _is_share(value: str, other: str, gold_is_percent: bool) -> bool:
    """Whether 0.09 stands on one side and 9% on the other."""
    one, two = number(value), number(other)
    if one is None or two is None:
        return False
    return one == 100 * two if gold_is_percent else two == 100 * one


def _readings(gold: str, answer: str, value: str, other: str) -> list[tuple[str, str]]:
    """Pairs to compare: `70,110` may be a number or a list, so both sides are read both ways, alike."""
    pairs = [(value, other)]
    if "," not in gold or "," not in answer:
        return pairs
    listed = [tighten(spell(text)) for text in (gold, answer)]
    if any(_PLAIN_THOUSANDS.fullmatch(text) for text in listed) and all("," in text for text in listed):
        pairs.append((listed[0], listed[1]))
    return pairs


def _choice(text: str) -> str | None:
    """The letter of a choice that is given with its content: `(C) Plane`, `A. 5`, `option B`."""
    match = _CHOICE.fullmatch(text)
    if not match or _LABEL.search(match[3] or ""):
        return None
    return match[1] or match[2] or match[4].upper()


class _Matcher:
    """Compares the gold answer's form, member by member."""

    def __init__(self, compare: Compare) -> None:
        self.compare = compare

    def same(self, gold: str, answer: str) -> bool:
        """Compare two normalised answers, as choices, sets, named values or by their form."""
        if gold == answer:
            return True
        if len(gold) == 1 and gold.isupper() and _choice(answer) is not None:
            return _choice(answer) == gold
        if len(answer) == 1 and answer.isupper() and _choice(gold) is not None:
            return _choice(gold) == answer
        if r"\approx" in answer and r"\approx" not in gold:
            return self.approximated(gold, answer)
        if _RELATION.search(gold) and ascending(gold).replace(" ", "") == ascending(answer).replace(" ", ""):
            return True
        if sets.is_explicit(gold) or sets.is_explicit(answer):
            golds, answers = sets.readings(gold), sets.readings(answer)
            if golds and answers:
                return any(sets.same_set(one, two, self.ends) for one in golds for two in answers)
        ours, theirs = names(gold), names(answer)
        if ours and theirs and ours != theirs:  # two equations may still say the same
            return "," not in gold + answer and r"\pm" not in gold + answer and self.leaves(gold, answer)
        gold, answer = _without_names(gold, answer)
        if self.shapes(shape(gold), shape(answer)):
            return True
        if (gold + answer).count(r"\pm") > 1:
            return self.shapes(shape(gold, independent=True), shape(answer, independent=True))
        return False

    def ends(self, gold: str, answer: str) -> bool:
        """Compare two ends of intervals."""
        return gold == answer or ("infty" not in gold + answer and self.leaves(gold, answer))

    def approximated(self, gold: str, answer: str) -> bool:
        r"""`\sqrt{2}\approx1.41` for `\sqrt{2}`, and `x\approx1.41` for `1.41`; two numbers must be close."""
        exact, _, rounded = answer.rpartition(r"\approx")
        exact, rounded = exact.strip(), rounded.strip()
        value, near = number(exact), number(rounded)
        if near is None:
            return False
        if value is not None and abs(value - near) * 10 ** len(rounded.partition(".")[2]) > 1:
            return False
        return self.same(gold, rounded) or (bool(exact) and not is_quantity(exact) and self.same(gold, exact))

    def shapes(self, gold: Shape, answer: Shape) -> bool:
        """Compare two answers that were taken apart."""
        if gold == answer:
            return True
        if gold.kind != answer.kind:
            return self.kinds(gold, answer)
        if gold.kind == "leaf":
            return self.leaves(gold.text, answer.text)
        if gold.brackets != answer.brackets or len(gold.parts) != len(answer.parts) or len(gold.parts) > MAX_MEMBERS:
            return False
        if gold.kind in ("list", "union"):
            return self.in_any_order(gold.parts, answer.parts)
        return all(self.shapes(one, two) for one, two in zip(gold.parts, answer.parts, strict=True))

    def kinds(self, gold: Shape, answer: Shape) -> bool:
        """Compare a list with a single answer: one member, or several notations of one value, are that value."""
        if answer.kind == "list" and (len(answer.parts) == 1 or _all_different(answer.parts)):
            return len(answer.parts) <= MAX_MEMBERS and all(self.shapes(gold, part) for part in answer.parts)
        if gold.kind == "list" and (len(gold.parts) == 1 or _all_different(gold.parts)):
            return len(gold.parts) <= MAX_MEMBERS and all(self.shapes(part, answer) for part in gold.parts)
        if {gold.kind, answer.kind} == {"leaf", "matrix"}:  # a multiple of a matrix is one expression
            return self.compare(gold.text, answer.text)
        return False

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
        if "=" not in gold and (parts := chain(answer)):
            return self.leaves(gold, parts[-1]) and all(self.leaves(parts[-1], part) for part in parts[:-1])
        if (one := based(gold)) or based(answer):
            return _same_numeral(one, gold, based(answer), answer)
        value, other = number(gold), number(answer)
        if value is not None and other is not None:
            return value == other
        if ":" in gold or ":" in answer:
            return same_ratio(gold, answer, self.leaves)
        if any(is_words(text) or _PROSE.search(text) or in_words(text) is not None for text in (gold, answer)):
            value, other = (in_words(text) if read is None else read for text, read in ((gold, value), (answer, other)))
            return value is not None and value == other
        ours, theirs = explicit(gold), explicit(answer)
        if ours is None or theirs is None:
            return False
        value, other = evaluated(ours), evaluated(theirs)
        return value == other if value is not None and other is not None else self.compare(ours, theirs)


def _without_names(gold: str, answer: str) -> tuple[str, str]:
    """Take off a name in front of the values where both have the same one, or one has none."""
    ours, theirs = named(gold), named(answer)
    if ours and theirs:
        return (ours[1], theirs[1]) if ours[0] == theirs[0] else (gold, answer)
    if ours and (rest := after_name(answer, ours[0])):
        return ours[1], rest
    if ours and not _RELATION.search(answer):
        return ("=" in answer and (gold, answer)) or (ours[1], answer)
    if theirs and "=" not in gold and not _RELATION.search(gold):
        return gold, theirs[1]
    return gold, answer


def _all_different(parts: tuple[Shape, ...]) -> bool:
    return len(set(parts)) == len(parts)


def _same_numeral(one: tuple[str, int] | None, gold: str, two: tuple[str, int] | None, answer: str) -> bool:
    """The same digits in the same base; the base may be left out, or added to a gold answer if it is ten."""
    if one and two:
        return one == two
    return one[0] == answer.upper() if one else two == (gold, 10)
