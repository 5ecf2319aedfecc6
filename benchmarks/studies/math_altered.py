"""Wrong responses that a small slip, or a misreading of the notation, makes of a right answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmx_metrics.math.compare import sets
from lmx_metrics.math.compare.shapes import shape
from lmx_metrics.math.notation.gold import alternatives
from lmx_metrics.math.notation.latex import split
from lmx_metrics.math.notation.normalise import is_words, normalise
from lmx_metrics.math.notation.numbers import based, number

_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_DIGITS = re.compile(r"\d{2,}")


def boxed(answer: str) -> str:
    """Return a response that gives an answer."""
    return f"So the answer is $\\boxed{{{answer}}}$."


def altered(gold: str) -> Iterator[tuple[str, str]]:
    """Yield `(kind, response)` of wrong responses for a gold answer; of one with alternatives, for each of them."""
    golds = alternatives(gold)
    for answer in golds:
        for kind, wrong in slips(answer):
            if kind != "sign" or len(golds) == 1:  # -3 may be the other alternative
                yield kind, boxed(wrong)
        if len(golds) == 1:
            for kind, wrong in [*blanks(answer), *juxtaposed(answer), *times(answer), *ends(answer), *chains(answer)]:
                yield kind, boxed(wrong)
        yield from several_boxes(answer)


def slips(answer: str) -> Iterator[tuple[str, str]]:
    """Yield `(kind, answer)`: a sign, a number, an end, a bracket, a member, ... changed."""
    value, _ = normalise(answer)
    form = shape(value)
    if form.kind == "leaf" and not is_words(value) and number(value) != 0 and "=" not in value and "<" not in value:
        yield "sign", value[1:] if re.fullmatch(r"-[^+-]*", value) else f"-({value})"
    for match in re.finditer(r"\d+", value):
        more = f"{value[: match.start()]}{int(match[0]) + 1}{value[match.end() :]}"
        yield ("denominator" if value[: match.start()].endswith("}{") else "off by one"), more
    if r"\sqrt" in value:
        yield "root dropped", re.sub(r"\\sqrt(?=\{)", "", value, count=1)
    if r"\pi" in value:
        yield "pi dropped", value.replace(r"\pi", "2", 1) if value == r"\pi" else value.replace(r"\pi", "(1)", 1)
    if form.kind == "tuple":
        inner = split(value[1:-1], {","})
        if inner != inner[::-1] and "\\" not in value[0]:
            yield "ends swapped", f"{value[0]}{','.join(inner[::-1])}{value[-1]}"
        yield "bracket", ("[" if value[0] == "(" else "(") + value[1:]
        yield "bracket", value[:-1] + ("]" if value[-1] == ")" else ")")
        yield "member dropped", f"{value[0]}{','.join(inner[:-1])}{value[-1]}"
    if form.kind == "list":
        yield "member dropped", ",".join(split(value, {","})[:-1])
        yield "member added", f"{value},1234567"
    if form.kind == "union":
        yield "member dropped", r"\cup".join(split(value, {r"\cup"})[1:])
        yield "intersection", value.replace(r"\cup", r"\cap")
    if is_words(value):
        yield "word", f"not {value}"
    if numeral := based(value):
        yield "base", f"{numeral[0]}_{{{numeral[1] + 1}}}"


def blanks(answer: str) -> Iterator[tuple[str, str]]:
    """A blank between two digits of a number, but not where it groups thousands; an exponent that ends early."""
    value, _ = normalise(answer)
    for match in _DIGITS.finditer(value):
        at = match.start() + (2 if (len(match[0]) - 1) % 3 == 0 else 1)
        blank = (" ", r"\,", r"\ ")[int(match[0]) % 3]
        yield "blank in a number", value[:at] + blank + value[at:]
    for match in re.finditer(r"\^\{(\d)(\d+)\}", value):
        yield "blank in a number", f"{value[: match.start()]}^{match[1]} {match[2]}{value[match.end() :]}"
        yield "blank in a number", f"{value[: match.start()]}^{{{match[1]}}}{match[2]}{value[match.end() :]}"


def juxtaposed(answer: str) -> Iterator[tuple[str, str]]:
    """A product by juxtaposition whose factors add up to the answer, or whose digits are the answer's."""
    value, _ = normalise(answer)
    if re.fullmatch(r"\d{1,6}", value) and int(value) > 4:
        for one in (2, int(value) // 2):
            two = int(value) - one
            if one * two != int(value):
                wrong = f"{one}({two})", f"({one})({two})", f"{one}[{two}]"
                yield "product as a sum", wrong[int(value) % 3]
    if re.fullmatch(r"[1-9]\d", value):
        yield "product as a sum", f"{value[0]}({value[1]})"
    if match := re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", value):
        whole, rest = divmod(int(match[1]), int(match[2]))
        if whole > 1 and rest:
            yield "product as a sum", rf"{whole}\left(\frac{{{rest}}}{{{match[2]}}}\right)"
        yield "mixed number", rf"1 {match[1]}/{match[2]}"


def times(answer: str) -> Iterator[tuple[str, str]]:
    """A time doubled, a minute or half a day off, as a number; a ratio turned round or with another part."""
    value, unit = normalise(answer)
    if match := _TIME.fullmatch(value):
        hour, minute = int(match[1]), int(match[2])
        for wrong in (f"{2 * hour}:{2 * minute:02}", f"{hour}:{minute + 1:02}", f"{hour + 1}:{minute:02}", f"{hour}"):
            yield "time", rf"{wrong}\text{{ {unit}}}" if unit else wrong
    if unit in ("am", "pm"):
        yield "time", rf"{value}\text{{ {'am' if unit == 'pm' else 'pm'}}}"
    elif re.fullmatch(r"\d+:\d+", value) and not _TIME.fullmatch(value):
        one, two = value.split(":")
        yield from (("ratio", wrong) for wrong in (f"{one}:{int(two) + 1}", f"{one}:0{two}0", f"0:{two}"))
        if one != two:
            yield "ratio", f"{two}:{one}"


def ends(answer: str) -> Iterator[tuple[str, str]]:
    """A set of real numbers as inequalities with an end that belongs, or does not, or with an end left out."""
    value, _ = normalise(answer)
    if not (sets.is_explicit(value) or shape(value).kind in ("tuple", "union")):
        return
    for read in sets.readings(value)[:1]:
        parts = [_inequality(piece) for piece in read.pieces]
        for n, piece in enumerate(read.pieces):
            for low, high in ((True, False), (False, True)):
                if (low and piece.low == sets.LOW) or (high and piece.high == sets.HIGH):
                    continue
                other = _inequality(
                    sets.Piece(piece.low, piece.low_in != low, piece.high, piece.high_in != high, piece.without)
                )
                yield "interval end", r" \text{ or } ".join([*parts[:n], other, *parts[n + 1 :]])
            if piece.without:
                yield "point not taken out", rf"({piece.low},{piece.high})"
        if len(parts) > 1:
            yield "interval left out", r" \text{ or } ".join(parts[1:])
        yield "all reals", r"\mathbb{R}\setminus\{1234567\}"


def _inequality(piece: sets.Piece) -> str:
    less, and_less = "<" if not piece.low_in else r"\le ", "<" if not piece.high_in else r"\le "
    low = "" if piece.low == sets.LOW else f"{piece.low}{less}"
    high = "" if piece.high == sets.HIGH else f"{and_less}{piece.high}"
    return f"{low}x{high}" if low or high else r"x\in\mathbb{R}"


def chains(answer: str) -> Iterator[tuple[str, str]]:
    """Chains that are false, or end elsewhere, and equations whose right side is the answer."""
    value, _ = normalise(answer)
    if (amount := number(value)) is None or ":" in value:
        return
    yield "chain that is false", f"{value}+2-1={value}"
    yield "chain that is false", f"x={value}+1={value}"
    yield "chain that ends elsewhere", f"{value}+1={amount + 1}"
    yield "chain that ends elsewhere", f"{value}={value}+1"
    if amount not in (0, 1):
        yield "equation", f"2x={value}"
        yield "equation", rf"\sqrt{{x}}={value}"
    if amount:
        yield "equation", f"-x={value}"


def several_boxes(answer: str) -> Iterator[tuple[str, str]]:
    """A wrong box beside the right one; of a list, all members but one in boxes of their own."""
    value, _ = normalise(answer)
    wrong = "1234567"
    yield "one of several boxes", rf"So it is $\boxed{{{answer}}}$ or $\boxed{{{wrong}}}$."
    yield "one of several boxes", rf"So $x=\boxed{{{wrong}}}$ and $x=\boxed{{{answer}}}$."
    members = split(value, {","})
    if len(members) > 1:
        rest = [*members[:-1], wrong]
        for kept in (members[1:], rest):
            yield "boxes of a list", "So it is " + " and ".join(rf"$\boxed{{{each}}}$" for each in kept) + "."
        yield "boxes of a list", ". Then ".join(rf"One is $\boxed{{{each}}}$" for each in rest) + "."
