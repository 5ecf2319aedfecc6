r"""Exact numbers in the notations of answers, without a computer algebra system.

Most answers are plain numbers, so most comparisons end here, in microseconds.
"""

from __future__ import annotations

import re
from fractions import Fraction

_INTEGER = r"\d+"
_DECIMAL = r"\d+\.\d*|\.\d+|\d+"
_SIGN = re.compile(r"[-+]*")
_PLAIN = re.compile(rf"(?:{_DECIMAL})")
_FRACTION = re.compile(rf"\\frac\{{([-+]?)({_DECIMAL})\}}\{{([-+]?)({_DECIMAL})\}}")
_SLASH = re.compile(rf"({_DECIMAL})/({_DECIMAL})")
_MIXED = re.compile(rf"({_INTEGER})\\frac\{{({_INTEGER})\}}\{{({_INTEGER})\}}")
_REPEATING = re.compile(
    r"(\d*)\.(\d*)\\(?:overline|bar|dot|overbar|widebar)(?:\{(\d+)\}|(\d))(?:\\dot(?:\{(\d)\}|(\d)))?"
    r"(?:\\ldots)?"
)
_REPEATING_IN_BRACKETS = re.compile(r"(0?)\.(\d*)\((\d+)\)(?:\\ldots|\.\.\.)?")
# 0.333... repeats what stands at its end three times, or twice if it is longer than a digit
_DOTS = re.compile(r"(\d*)\.(\d*?)(\d)\3\3+(?:\\ldots|\.\.\.+)|(\d*)\.(\d*?)(\d{2,})\6+(?:\\ldots|\.\.\.+)")
_SCIENTIFIC = re.compile(rf"({_DECIMAL})(?:\\cdot ?|\*)10\^\{{([-+]?\d{{1,3}})\}}")
_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_WORDS = {name: value for value, name in enumerate(_NAMES.split())}
_TENS_NAMES = "thirty forty fifty sixty seventy eighty ninety"
_TENS = {name: 10 * tens for tens, name in enumerate(_TENS_NAMES.split(), start=3)}
_IN_WORDS = {**_WORDS, **_TENS, "hundred": 100, "one hundred": 100}
_IN_WORDS |= {
    f"{tens}{joint}{_NAMES.split()[unit]}": value + unit
    for tens, value in {"twenty": 20, **_TENS}.items()
    for unit in range(1, 10)
    for joint in "- "
}
_BASE_WORDS = {name: base for name, base in _WORDS.items() if base > 1}
_DIGITS = r"-?[0-9A-Za-z]+?(?:\.[0-9A-Za-z]+?)?"
_BASE = rf"\(?(\d+|{'|'.join(_BASE_WORDS)})\)?"
_BASED = re.compile(rf"(?:\(({_DIGITS})\)|({_DIGITS}))(?:_\{{(?:base)?{_BASE}\}}|_{_BASE}|,?\(?(?:in)?base{_BASE}\)?)")

_COUNTED = re.compile(
    rf"({'|'.join(sorted(_IN_WORDS, key=len, reverse=True))})(?=\s+(?!hundred|quarter)[a-z]{{3,}}(?: [a-z]+)*\.?$)",
    re.I,
)


def number(text: str) -> Fraction | None:
    r"""Return the value of a normalised number, or None when the text is anything else.

    Integers, decimals, `\frac{a}{b}`, `a/b`, mixed numbers (`1\frac{1}{2}` is three halves) and repeating decimals
    (`0.\overline{3}`, `0.\bar3`, `0.(3)`, `0.333\ldots`), powers of ten (`1.2\cdot10^{3}`), with signs.
    """
    signs = _SIGN.match(text)
    assert signs is not None
    if len(signs[0]) > 2:
        return None
    value = _unsigned(text[signs.end() :])
    return value if value is None or signs[0].count("-") % 2 == 0 else -value


def in_words(text: str) -> Fraction | None:
    """The value of a number's name up to a hundred, or None."""
    value = _IN_WORDS.get(text.strip().lower())
    return None if value is None else Fraction(value)


def counted_in_words(text: str) -> str:
    """`six ways` as `6 ways`; `six hundred` and `three quarters` stay."""
    match = _COUNTED.match(text)
    return f"{_IN_WORDS[match[1].lower()]}{text[match.end() :]}" if match else text


def based(text: str) -> tuple[str, int] | None:
    """`(digits, base)` of a numeral with its base, such as `1101_{2}`, `(1101)_{2}` or `1101 base 2`, or None.

    Letters are digits in either case. A digit that the base does not have makes it no numeral.
    """
    match = _BASED.fullmatch(text)
    if not match:
        return None
    digits = (match[1] or match[2]).upper()
    written = next(group for group in match.groups()[2:] if group)
    base = _BASE_WORDS.get(written) or int(written)
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits if digit not in "-."):
        return None
    return digits, base


def _unsigned(text: str) -> Fraction | None:
    if _PLAIN.fullmatch(text):
        return Fraction(text)
    if match := _FRACTION.fullmatch(text):
        value = _ratio(match[2], match[4])
        return -value if value is not None and match[1] != match[3] and "-" in match[1] + match[3] else value
    if match := _SLASH.fullmatch(text):
        return _ratio(match[1], match[2])
    if match := _MIXED.fullmatch(text):
        part = _ratio(match[2], match[3])
        return Fraction(match[1]) + part if part is not None and part < 1 else None
    if match := _SCIENTIFIC.fullmatch(text):
        return Fraction(match[1]) * Fraction(10) ** int(match[2])
    if match := _REPEATING.fullmatch(text):
        if (last := match[5] or match[6]) and len(match[3] or match[4]) > 1:
            return None  # two dots stand over the ends of what repeats
        return _repeating(match[1], match[2], (match[3] or match[4]) + (last or ""))
    if match := _REPEATING_IN_BRACKETS.fullmatch(text):
        return _repeating(match[1], match[2], match[3])
    if match := _DOTS.fullmatch(text):
        return _repeating(match[1] or match[4], match[2] or match[5], match[3] or match[6])
    return None


def _repeating(whole: str | None, fixed: str | None, repeated: str) -> Fraction:
    fixed = fixed or ""
    tail = Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(fixed))
    return Fraction(f"{whole or 0}.{fixed or 0}") + tail


def _ratio(above: str, below: str) -> Fraction | None:
    denominator = Fraction(below)
    return Fraction(above) / denominator if denominator else None
