r"""Sets of real numbers in one form: from intervals, inequalities, `\ne`, set-builder notation, `\setminus`.

A set is a list of pieces: an interval, its ends, and points taken out of it. Pieces that meet are joined, so that
`(0,9)\cup(9,36)` and `(0,36)\setminus\{9\}` are the same piece without 9. Nothing here needs to know which of two ends
is larger; ends are compared by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from lmx_metrics.math.compare.shapes import written_out
from lmx_metrics.math.notation.latex import split
from lmx_metrics.math.notation.numbers import number

LOW, HIGH = r"-\infty", r"\infty"
MAX_PIECES = 32
"""Pieces of a set beyond which it is not read."""

_NAME = r"(?:[A-Za-z]|\\(?!infty|pi|le|ge|ne|in)[a-z]+)(?:_\{\w+\})?"
_IN_REALS = re.compile(rf"({_NAME})\\in(?:\\mathbb\{{R\}}|R)")
_MEMBER = re.compile(rf"({_NAME})\\in(?![A-Za-z])(.+)", re.DOTALL)
_NOT_MEMBER = re.compile(rf"({_NAME})(?:\\notin|\\not\\in)(?![A-Za-z])(.+)", re.DOTALL)
_BUILDER = re.compile(
    rf"\\\{{({_NAME})(?:\\in(?:\\mathbb\{{R\}}|R))?(?:[|:]|suchthat)(.+)\\\}}"
    rf"|\\\{{({_NAME}(?:<|>|\\le|\\ge|\\ne).+)\\\}}",
    re.DOTALL,
)
_INTERVAL = re.compile(r"([(\[\]])(.+)([)\]\[])", re.DOTALL)
_OPERATOR = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z]))\s*")
_NAMED = re.compile(rf"({_NAME})=(.+)", re.DOTALL)
_DIFFERENCE = re.compile(r"\\setminus\s*|(?<=[)\]}])[-/](?=\\\{)|(?<=\\mathbb\{R\})(?=\\\{)")
_EXPLICIT = re.compile(
    r"[<>]|\\(?:le|ge|ne|in|notin|setminus|mathbb\{R\})(?![A-Za-z])|^R$|^\]|\[$|\[\\cup|\\cup ?\]|[\])][-/]\\\{"
)
_ABSOLUTE = re.compile(rf"\|({_NAME})\|")
_POSITIVE = re.compile(r"\\mathbb\{R\}(?:\^\{?\+\}?|_\{?(?:\+|>0)\}?|\^\{?\*?-\}?|_\{?(?:-|<0)\}?)")
_FULL = re.compile(r"\\mathbb\{R\}|R")


@dataclass(frozen=True)
class Piece:
    """An interval with ends as texts, whether they belong to it, and points that do not."""

    low: str
    low_in: bool
    high: str
    high_in: bool
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class RealSet:
    """The pieces of a set, and the variable that it is a set of, if one is named."""

    pieces: tuple[Piece, ...]
    name: str | None = None


EVERYTHING = Piece(LOW, False, HIGH, False)


def is_explicit(text: str) -> bool:
    """Whether a text can only be a set or a relation; `(1,2)` may be a point."""
    return bool(_EXPLICIT.search(text))


def readings(text: str) -> list[RealSet]:
    """Return the sets that a normalised text may mean; none for what is no set of real numbers.

    Inequalities with a comma between them may hold together (`x>-1, x<1`) or apart (`x<1, x>4`): both are returned.
    """
    return [RealSet(pieces, read.name) for read in _read(text, 0) if (pieces := _canonical(read.pieces)) is not None]


def same_set(one: RealSet, two: RealSet, same: Callable[[str, str], bool]) -> bool:
    """Whether two sets have the same pieces in any order; `same` compares ends and points."""
    if one.name and two.name and one.name != two.name:
        return False
    left = list(two.pieces)
    if len(left) != len(one.pieces):
        return False
    for piece in one.pieces:
        match = next((other for other in left if _same_piece(piece, other, same)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _same_piece(one: Piece, two: Piece, same: Callable[[str, str], bool]) -> bool:
    if (one.low_in, one.high_in, len(one.without)) != (two.low_in, two.high_in, len(two.without)):
        return False
    if not (same(one.low, two.low) and same(one.high, two.high)):
        return False
    left = list(two.without)
    for point in one.without:
        match = next((other for other in left if same(point, other)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _read(text: str, depth: int) -> list[RealSet]:
    text = text.strip()
    if depth > 4 or not text:
        return []
    if _FULL.fullmatch(text):
        return [RealSet((EVERYTHING,))]
    if _POSITIVE.fullmatch(text):
        negative = "-" in text or "<" in text
        return [RealSet((Piece(LOW, False, "0", False) if negative else Piece("0", False, HIGH, False),))]
    if match := _BUILDER.fullmatch(text):
        if match[3]:
            return _relations(match[3])
        return [replace(read, name=match[1]) for read in _relations(match[2]) if read.name in (None, match[1])]
    if match := _NOT_MEMBER.fullmatch(text):
        return _without(RealSet((EVERYTHING,), match[1]), match[2])
    if (match := _MEMBER.fullmatch(text)) and not _OPERATOR.search(text):
        return [replace(read, name=match[1]) for read in _read(match[2], depth + 1)]
    if (halves := _DIFFERENCE.split(text, maxsplit=1)) and len(halves) == 2 and _balanced(halves[0]):
        return [each for read in _read(halves[0], depth + 1) for each in _without(read, halves[1])]
    if _OPERATOR.search(text):
        return _relations(text)
    return _union(text)


def _union(text: str) -> list[RealSet]:
    members = re.split(r"\\cup ?", text) if re.search(r"\\cup ?\]|\[\\cup|^\]|\[$", text) else split(text, {r"\cup"})
    pieces: list[Piece] = []
    if len(members) > MAX_PIECES:
        return []
    for member in members:
        if member.startswith(r"\{") and member.endswith(r"\}"):
            pieces += [Piece(point, True, point, True) for point in split(member[2:-2], {",", ";"})]
        elif _FULL.fullmatch(member):
            pieces.append(EVERYTHING)
        elif (match := _INTERVAL.fullmatch(member)) and len(ends := split(match[2], {",", ";"})) == 2 and all(ends):
            pieces.append(Piece(_end(ends[0]), match[1] == "[", _end(ends[1]), match[3] == "]"))
        else:
            return []
    return [RealSet(tuple(pieces))]


def _end(text: str) -> str:
    return text.removeprefix("+") if text.endswith("infty") else text


def _balanced(text: str) -> bool:
    return all(text.count(opening) == text.count(ending) for opening, ending in ("{}", ("(", ")"))) or text[:1] in "(["


def _without(base: RealSet, points: str) -> list[RealSet]:
    points = points.strip()
    if points.startswith(r"\{") and points.endswith(r"\}"):
        points = points[2:-2]
    cut = _union(points)
    if len(cut) == 1 and base.pieces == (EVERYTHING,) and len(cut[0].pieces) == 1 and points[:1] in "([":
        out = cut[0].pieces[0]
        rays = Piece(LOW, False, out.low, not out.low_in), Piece(out.high, not out.high_in, HIGH, False)
        return [replace(base, pieces=tuple(ray for ray in rays if ray.low != HIGH and ray.high != LOW))]
    named = [m[2] if (m := _NAMED.fullmatch(p)) else p for p in split(points, {",", ";", r"\and", r"\or"})]
    members = [each for point in named for each in written_out(point)]
    if len(base.pieces) != 1 or not all(members) or len(members) > MAX_PIECES or any(c in points for c in "<>()[]"):
        return []
    return [replace(base, pieces=(replace(base.pieces[0], without=(*base.pieces[0].without, *members)),))]


def _relations(text: str) -> list[RealSet]:
    """Read relations: `\\or` between them is a union, `\\and` an intersection, a comma either."""
    if len(parts := split(text, {r"\or"})) > 1:
        return _apart([_relations(part) for part in parts])
    parts = split(text, {",", ";", r"\and"})
    only_together = len(split(text, {r"\and"})) == len(parts)
    if len(parts) == 1:
        read = _relation(text)
        return [read] if read else []
    domain = [part for part in parts if _IN_REALS.fullmatch(part)]
    atoms: list[RealSet] = []
    for part in parts:
        if part in domain:
            continue
        if not _OPERATOR.search(part) and atoms and r"\ne" in text and len(atoms[-1].pieces[0].without) > 0:
            part = f"{atoms[-1].name}\\ne {part}"  # x \ne 1, 2
        if _MEMBER.fullmatch(part) and len(inner := _read(part, 1)) == 1:
            atoms.append(inner[0])
            continue
        read = _relation(part)
        if read is None:
            return []
        atoms.append(read)
    if not atoms:
        return [RealSet((EVERYTHING,))]
    return _together(atoms) + ([] if only_together else _apart([[atom] for atom in atoms]))


def _apart(parts: list[list[RealSet]]) -> list[RealSet]:
    if not all(parts):
        return []
    reads = [part[0] for part in parts]
    names = {read.name for read in reads if read.name}
    if len(names) > 1:
        return []
    return [RealSet(tuple(piece for read in reads for piece in read.pieces), next(iter(names), None))]


def _together(atoms: list[RealSet]) -> list[RealSet]:
    """The intersection of rays, an interval, and points that are left out."""
    names = {atom.name for atom in atoms if atom.name}
    if len(names) > 1 or any(len(atom.pieces) != 1 for atom in atoms):
        return []
    pieces = [atom.pieces[0] for atom in atoms]
    lows = [piece for piece in pieces if piece.low != LOW]
    highs = [piece for piece in pieces if piece.high != HIGH]
    if len(lows) > 1 or len(highs) > 1:
        return []
    low, high = (lows or [EVERYTHING])[0], (highs or [EVERYTHING])[0]
    points = tuple(point for piece in pieces for point in piece.without)
    both = Piece(low.low, low.low_in, high.high, high.high_in, points)
    return [RealSet((both,), next(iter(names), None))]


def _relation(text: str) -> RealSet | None:
    """One inequality or chain of two in a variable, `x=3` or `x\\ne3`."""
    parts = _OPERATOR.split(text)
    if len(parts) == 1:
        match = _NAMED.fullmatch(text)
        return RealSet((Piece(match[2], True, match[2], True),), match[1]) if match else None
    parts = [part.strip() for part in parts]
    if not all(parts) or any("=" in part for part in parts):
        return None
    if len(parts) == 3:
        return _ray(*parts)
    if len(parts) == 5 and re.fullmatch(_NAME, parts[2]):
        if parts[1] in (">", r"\ge"):
            parts = [parts[4], _TURNED.get(parts[3], ""), parts[2], _TURNED.get(parts[1], ""), parts[0]]
        if parts[1] in ("<", r"\le") and parts[3] in ("<", r"\le"):
            return RealSet((Piece(_end(parts[0]), parts[1] != "<", _end(parts[4]), parts[3] != "<"),), parts[2])
    return None


_TURNED = {">": "<", r"\ge": r"\le", "<": ">", r"\le": r"\ge", r"\ne": r"\ne"}


def _ray(left: str, relation: str, right: str) -> RealSet | None:
    if not re.fullmatch(_NAME, left) and not _ABSOLUTE.fullmatch(left):
        left, relation, right = right, _TURNED[relation], left
    if match := _ABSOLUTE.fullmatch(left):
        value = number(right)
        if value is None or value <= 0 or relation == r"\ne":
            return None
        inside = "=" if relation in (r"\le", r"\ge") else ""
        if relation in ("<", r"\le"):
            return RealSet((Piece(f"-{right}", bool(inside), right, bool(inside)),), match[1])
        outside = Piece(LOW, False, f"-{right}", bool(inside)), Piece(right, bool(inside), HIGH, False)
        return RealSet(outside, match[1])
    if not re.fullmatch(_NAME, left):
        return None
    if relation == r"\ne":
        return RealSet((replace(EVERYTHING, without=tuple(written_out(right))),), left)
    if relation in ("<", r"\le"):
        return RealSet((Piece(LOW, False, _end(right), relation != "<"),), left)
    return RealSet((Piece(_end(right), relation != ">", HIGH, False),), left)


def _canonical(pieces: tuple[Piece, ...]) -> tuple[Piece, ...] | None:
    """Join pieces that meet, and open the ends that are taken out."""
    if len(pieces) > MAX_PIECES:
        return None
    todo = [_opened(piece) for piece in pieces]
    merged = True
    while merged:
        merged = False
        for i, one in enumerate(todo):
            for j, two in enumerate(todo):
                if i != j and _same_end(one.high, two.low) and not (one.low == one.high and two.low == two.high):
                    gap = () if one.high_in or two.low_in else (one.high,)
                    joined = Piece(one.low, one.low_in, two.high, two.high_in, (*one.without, *gap, *two.without))
                    todo = [piece for k, piece in enumerate(todo) if k not in (i, j)] + [joined]
                    merged = True
                    break
            if merged:
                break
    return tuple(todo)


def _opened(piece: Piece) -> Piece:
    for point in piece.without:
        if _same_end(point, piece.low):
            piece = replace(piece, low_in=False, without=tuple(p for p in piece.without if p != point))
        elif _same_end(point, piece.high):
            piece = replace(piece, high_in=False, without=tuple(p for p in piece.without if p != point))
    return piece


def _same_end(one: str, two: str) -> bool:
    value = number(one)
    return one == two or (value is not None and value == number(two))
