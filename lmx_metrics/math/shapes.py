r"""The outer form of a normalised answer: list, set, tuple or interval, union, matrix, or a single expression.

Brackets are kept: `(1,2]` is not `[1,2)`, and `(1,2)` is neither `\{1,2\}` nor `1,2`. A set and a bare list of answers
are the same, in any order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_DEPTH = 4
"""Brackets within brackets that are taken apart; what lies deeper is compared as one expression."""

_TOKEN = re.compile(
    r"\\begin\{\w+\}|\\end\{\w+\}|\\\\|\\[{}]|\\langle|\\rangle|\\cup|\\pm|\\mp|\\[A-Za-z]+|.", re.DOTALL
)
_OPEN = {"(", "[", "{", r"\{", r"\langle"}
_CLOSE = {")", "]", "}", r"\}", r"\rangle"}
_MATRIX = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", re.DOTALL)
_SEPARATORS = {",", ";"}

# A name on the left of an equation: x, y_1, f(x), f(2), (x,y), P(A), or a sum or product of letters.
_SIMPLE_NAME = (
    r"[A-Za-z](?:_\w|_\{\w+\}|\^\{-1\})?'*(?:\([A-Za-z](?:,[A-Za-z])*\))?|\([A-Za-z](?:,[A-Za-z])+\)|\\[a-z]+"
)
_NAMED = re.compile(rf"({_SIMPLE_NAME})(?:=|\\in(?![A-Za-z]))(.+)", re.DOTALL)
_LETTERS = re.compile(r"(?:[A-Za-z]\([^=<>,]{1,20}\)|[^=<>\d,]{1,60})=(.+)", re.DOTALL)

_END = r"([^<>=,]+?)"
_LESS = r"(<|\\le(?![A-Za-z]))\s*"
_MORE = r"(>|\\ge(?![A-Za-z]))\s*"
_BETWEEN = re.compile(f"{_END}{_LESS}([A-Za-z]){_LESS}{_END}")
_BELOW = re.compile(f"([A-Za-z]){_LESS}{_END}|{_END}{_MORE}([A-Za-z])")
_ABOVE = re.compile(f"([A-Za-z]){_MORE}{_END}|{_END}{_LESS}([A-Za-z])")


@dataclass(frozen=True)
class Shape:
    """An answer taken apart.

    Attributes:
        kind: ``list`` (in any order), ``tuple`` (points and intervals), ``union``, ``matrix`` (row by row) or ``leaf``.
        brackets: of a tuple, as written; of a matrix, its size; else empty.
        parts: the members; empty for a leaf.
        text: of a leaf or a matrix, as it was given.
    """

    kind: str
    brackets: str = ""
    parts: tuple[Shape, ...] = ()
    text: str = ""


def shape(text: str, depth: int = 0) -> Shape:
    """Take a normalised answer apart; linear in its length for each of at most `MAX_DEPTH` levels."""
    if depth >= MAX_DEPTH:
        return Shape("leaf", text=text)
    if len(members := split(text, {r"\cup"})) > 1 and all(members):
        return Shape("union", parts=tuple(shape(member, depth + 1) for member in members))
    if len(members := split(text, _SEPARATORS)) > 1 and all(members):
        return Shape("list", parts=_members(_without_names(members), depth))
    if brackets := _enclosing(text):
        opening, closing = brackets
        inner = text[len(opening) : len(text) - len(closing)]
        members = split(inner, _SEPARATORS)
        if brackets == (r"\{", r"\}") and all(members):
            return Shape("list", parts=_members(members, depth))
        if len(members) > 1 and all(members):
            return Shape("tuple", opening + closing, _members(members, depth))
    if (matrix := _MATRIX.fullmatch(text)) and r"\begin" not in matrix[1]:
        rows = [split(row, {"&"}) for row in split(matrix[1], {"\\\\"}) if row]
        width = {len(row) for row in rows}
        if len(width) == 1:
            cells = [cell for row in rows for cell in row]
            return Shape("matrix", f"{len(rows)}x{width.pop()}", _members(cells, depth), text)
    if len(halves := split(text, {r"\pm", r"\mp"})) == 2 and halves[1]:
        return Shape("list", parts=tuple(Shape("leaf", text=f"{halves[0]}{sign}{halves[1].strip()}") for sign in "+-"))
    return Shape("leaf", text=text)


def split(text: str, separators: set[str]) -> list[str]:
    """Split at separators that stand outside all brackets, whatever their kind."""
    parts, last, depth = [], 0, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _OPEN or token.startswith(r"\begin"):
            depth += 1
        elif token in _CLOSE or token.startswith(r"\end"):
            depth -= 1
        elif depth == 0 and token in separators:
            parts.append(text[last : match.start()].strip())
            last = match.end()
    return [*parts, text[last:].strip()]


def named(text: str) -> tuple[str, str] | None:
    r"""`(name, value)` of an answer such as `x=5`, `f(x)=x+1`, `(x,y)=(1,2)` or `x\in[0,1]`, or None."""
    match = _NAMED.fullmatch(text)
    return (match[1], match[2].strip()) if match and not re.search("[=<>]", match[2]) else None


def right_side(text: str) -> str | None:
    """The last right-hand side when all before it is a name or letters (`x+y=7`, `f(2)=5`), or None."""
    match = _LETTERS.fullmatch(text)
    if not match or re.search("[<>]", match[1]) or re.search(",.*=", match[1]):
        return None
    return match[1].rpartition("=")[2].strip() or None


def ascending(text: str) -> str:
    """A chain of `>` turned round, so that `5>x` and `x<5` are the same text."""
    if "<" in text or r"\le" in text or not re.search(r">|\\ge(?![A-Za-z])", text):
        return text
    pieces = re.split(r"(>|\\ge(?![A-Za-z]))\s*", text)
    return "".join({">": "<", r"\ge": r"\le "}.get(piece, piece) for piece in reversed(pieces))


def interval(text: str) -> str | None:
    r"""An inequality in one variable as an interval or union: `x>3` is `(3,\infty)`; None for anything else."""
    pieces = [_one_interval(piece) for piece in split(text, {","})]
    if any(piece is None for piece in pieces):
        return None
    return r"\cup".join(piece for piece in pieces if piece)


def _one_interval(text: str) -> str | None:
    if match := _BETWEEN.fullmatch(text):
        low, left, _, right, high = match.groups()
        return f"{'(' if left == '<' else '['}{low},{high}{')' if right == '<' else ']'}"
    if match := _BELOW.fullmatch(text):
        relation, end = match[2] or match[5], match[3] or match[4]
        return rf"(-\infty,{end}{')' if relation in '<>' else ']'}"
    if match := _ABOVE.fullmatch(text):
        relation, end = match[2] or match[5], match[3] or match[4]
        return rf"{'(' if relation in '<>' else '['}{end},\infty)"
    return None


def _members(texts: list[str], depth: int) -> tuple[Shape, ...]:
    return tuple(shape(text, depth + 1) for text in texts)


def _without_names(members: list[str]) -> list[str]:
    """`x=1,2` and `x=1,x=2` as `1,2`; names that differ stay."""
    pairs = [named(member) for member in members]
    names = {pair[0] for pair in pairs if pair}
    if len(names) != 1 or pairs[0] is None:
        return members
    if any(pair is None and "=" in member for pair, member in zip(pairs, members, strict=True)):
        return members
    return [pair[1] if pair else member for pair, member in zip(pairs, members, strict=True)]


def _enclosing(text: str) -> tuple[str, str] | None:
    """The brackets that enclose the whole text, or None: `(x+1)(x-1)` has none."""
    depth = 0
    opening = None
    for match in _TOKEN.finditer(text):
        token = match[0]
        if opening is None:
            if token not in _OPEN or token == "{":
                return None
            opening = token
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
            if depth == 0:
                return (opening, token) if match.end() == len(text) else None
    return None
