r"""The outer form of a normalised answer: list, set, tuple or interval, union, matrix, or a single expression.

Brackets are kept: `(1,2]` is not `[1,2)`, and `(1,2)` is neither `\{1,2\}` nor `1,2`. A set and a bare list of answers
are the same, in any order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

from lmx_metrics.math.compare.equations import named
from lmx_metrics.math.notation.latex import CLOSING, OPENING, TOKEN, split

MAX_DEPTH = 4
"""Brackets within brackets that are taken apart; what lies deeper is compared as one expression."""

_MATRIX = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", re.DOTALL)
_SEPARATORS = {",", ";", r"\and", r"\or"}
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])\s*")
_UNARY_PLUS = re.compile(r"(^|[({\[,=])\+")
MAX_SIGNS = 4
"""Plus-minus signs in one expression that are written out."""


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


def shape(text: str, depth: int = 0, independent: bool = False) -> Shape:
    r"""Take a normalised answer apart; linear in its length for each of at most `MAX_DEPTH` levels.

    A member with `\pm` is two members. Several such signs in one member go together, or not if `independent`.
    """
    if depth >= MAX_DEPTH:
        return Shape("leaf", text=text)
    if len(members := split(text, {r"\cup"})) > 1 and all(members):
        return Shape("union", parts=tuple(shape(member, depth + 1) for member in members))
    if "\\pm" in text or "\\mp" in text:
        members = [each for member in split(text, _SEPARATORS) for each in written_out(member, independent)]
        if len(members) > 1 and all(members):
            return Shape("list", parts=_members(_without_names(members), depth))
    if len(members := split(text, _SEPARATORS)) > 1 and all(members):
        return Shape("list", parts=_members(_without_names(members), depth))
    if brackets := _enclosing(text):
        opening, closing = brackets
        inner = text[len(opening) : len(text) - len(closing)]
        members = split(inner, _SEPARATORS)
        if brackets == (r"\{", r"\}") and _PLUS_MINUS.search(inner):
            return shape(inner, depth + 1, independent)
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
    return Shape("leaf", text=text)


def written_out(text: str, independent: bool = False) -> list[str]:
    r"""Return the expressions that one with `\pm` or `\mp` stands for, without signs that say nothing."""
    signs = _PLUS_MINUS.findall(text)
    if not signs or len(signs) > MAX_SIGNS or text.startswith(r"\{"):
        return [text]
    if independent and "mp" not in signs:
        choices = ["".join(each) for each in product("+-", repeat=len(signs))]
    else:
        choices = ["".join("+" if (sign == "pm") == up else "-" for sign in signs) for up in (True, False)]
    pieces = _PLUS_MINUS.split(text)[::2]
    return [
        _UNARY_PLUS.sub(r"\1", "".join(piece + sign for piece, sign in zip(pieces, (*choice, ""), strict=True)))
        for choice in choices
    ]


def _members(texts: list[str], depth: int) -> tuple[Shape, ...]:
    return tuple(shape(text, depth + 1) for text in texts)


def _without_names(members: list[str]) -> list[str]:
    """`x=1,2` and `x=1,x=2` and `x_1=1,x_2=2` as `1,2`; names that differ stay."""
    pairs = [named(member) for member in members]
    names = {pair[0].partition("_")[0] for pair in pairs if pair}
    if len(names) != 1 or pairs[0] is None:
        return members
    if any(pair is None and "=" in member for pair, member in zip(pairs, members, strict=True)):
        return members
    return [pair[1] if pair else member for pair, member in zip(pairs, members, strict=True)]


def _enclosing(text: str) -> tuple[str, str] | None:
    """The brackets that enclose the whole text, or None: `(x+1)(x-1)` has none."""
    depth = 0
    opening = None
    for match in TOKEN.finditer(text):
        token = match[0]
        if opening is None:
            if token not in OPENING or token == "{":
                return None
            opening = token
        if token in OPENING:
            depth += 1
        elif token in CLOSING:
            depth -= 1
            if depth == 0:
                return (opening, token) if match.end() == len(text) else None
    return None


def ascending(text: str) -> str:
    """A chain of `>` turned round, so that `5>x` and `x<5` are the same text."""
    if "<" in text or r"\le" in text or not re.search(r">|\\ge(?![A-Za-z])", text):
        return text
    pieces = re.split(r"(>|\\ge(?![A-Za-z]))\s*", text)
    return "".join({">": "<", r"\ge": r"\le "}.get(piece, piece) for piece in reversed(pieces))
