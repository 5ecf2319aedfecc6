r"""Exact values of expressions in numbers alone, such as `30-16`, `2^{6}\cdot3^{5}` or `\frac{1}{2}(4)`.

A parser of its own, so that plain arithmetic needs no other process: signs, sums, products, quotients, fractions, whole
powers and factorials. Whatever else there is, is large or could be read in two ways, has no value here.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\\frac(?![A-Za-z])|\\cdot(?![A-Za-z])|[-+*/^!(){}])\s*")
_PLAIN = re.compile(r"(?:[\d.\s()+\-*/^{}!]|\\frac(?![A-Za-z])|\\cdot(?![A-Za-z]))+")
MAX_BITS = 4096
"""Size of the numerator or denominator of any value on the way."""
MAX_DEPTH = 20
"""Brackets and powers within each other."""


def evaluated(text: str) -> Fraction | None:
    """Return the value of an expression in which products are explicit, or None where it has none here."""
    if not _PLAIN.fullmatch(text):
        return None
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", ""):
        return None
    try:
        reader = _Reader(tokens)
        value = reader.sum(0)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if reader.at == len(tokens) else None


class _Reader:
    """Reads tokens from left to right; raises ValueError at what it does not know."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def next_is(self, *tokens: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] in tokens

    def take(self, token: str) -> None:
        if self.tokens[self.at] != token:
            raise ValueError(token)
        self.at += 1

    def sum(self, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            raise ValueError("too deep")
        value = self.product(depth)
        while self.next_is("+", "-"):
            sign = 1 if self.tokens[self.at] == "+" else -1
            self.at += 1
            value = _small(value + sign * self.product(depth))
        return value

    def product(self, depth: int) -> Fraction:
        value = self.signed(depth)
        while self.next_is("*", r"\cdot", "/"):
            divide = self.tokens[self.at] == "/"
            self.at += 1
            factor = self.signed(depth)
            value = _small(value / factor if divide else value * factor)
        return value

    def signed(self, depth: int) -> Fraction:
        sign = 1
        while self.next_is("+", "-"):
            sign = -sign if self.tokens[self.at] == "-" else sign
            self.at += 1
        return sign * self.power(depth)

    def power(self, depth: int) -> Fraction:
        value = self.atom(depth)
        while self.next_is("!"):
            self.at += 1
            if value.denominator != 1 or not 0 <= value <= 100 or self.next_is("!"):
                raise ValueError("no factorial")
            value = Fraction(math.factorial(value.numerator))
        if self.next_is("^"):
            self.at += 1
            self.take("{")
            exponent = self.sum(depth + 1)
            self.take("}")
            size = max(value.numerator.bit_length(), value.denominator.bit_length())
            if exponent.denominator != 1 or abs(exponent) * size > MAX_BITS or self.next_is("^", "!"):
                raise ValueError("no plain power")
            value = value**exponent.numerator
        return value

    def atom(self, depth: int) -> Fraction:
        token = self.tokens[self.at]
        self.at += 1
        if token[0].isdigit():
            return _small(Fraction(token))
        if token == r"\frac":
            above, below = self.braced(depth), self.braced(depth)
            return above / below
        if token == "(":
            value = self.sum(depth + 1)
            self.take(")")
            return value
        raise ValueError(token)

    def braced(self, depth: int) -> Fraction:
        self.take("{")
        value = self.sum(depth + 1)
        self.take("}")
        return value


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ValueError("too large")
    return value
