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
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\{(\d+)\}")
_BASED = re.compile(r"(-?[0-9A-Z]+(?:\.[0-9A-Z]+)?)_(?:\{(\d+)\}|(\d+))")


def number(text: str) -> Fraction | None:
    r"""Return the value of a normalised number, or None when the text is anything else.

    Integers, decimals, `\frac{a}{b}`, `a/b`, mixed numbers (`1\frac{1}{2}` is three halves) and repeating decimals
    (`0.\overline{3}`), with signs.
    """
    signs = _SIGN.match(text)
    assert signs is not None
    if len(signs[0]) > 2:
        return None
    value = _unsigned(text[signs.end() :])
    return value if value is None or signs[0].count("-") % 2 == 0 else -value


def based(text: str) -> tuple[str, int] | None:
    """`(digits, base)` of a numeral with its base as a subscript, such as `1101_{2}`, or None."""
    match = _BASED.fullmatch(text)
    return (match[1], int(match[2] or match[3])) if match else None


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
    if match := _REPEATING.fullmatch(text):
        whole, fixed, repeated = match[1] or "0", match[2], match[3]
        tail = Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(fixed))
        return Fraction(f"{whole}.{fixed or 0}") + tail
    return None


def _ratio(above: str, below: str) -> Fraction | None:
    denominator = Fraction(below)
    return Fraction(above) / denominator if denominator else None
