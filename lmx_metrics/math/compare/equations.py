r"""Names in front of values and chains of equations: `x=5`, `|AB|=1`, `f(2)=3+4=7`."""

from __future__ import annotations

import re

from lmx_metrics.math.notation.latex import split
from lmx_metrics.math.notation.numbers import number

# What may be named: x, y_1, f^{-1}(x), f(2), (x,y), \lambda, a segment, an angle, a ratio of names, a word.
_INDEXED = r"[A-Za-z](?:_\{\w+\})?"
_SEGMENT = r"\|[A-Z]{2}\||\|[zw]\||\\overline\{[A-Z]{2}\}|[A-Z]{2,3}|m?\\angle ?[A-Z]{1,3}|\|?\\triangle ?[A-Z]{3}\|?"
_SIMPLE_NAME = (
    rf"{_INDEXED}(?:\^\{{-1\}})?'*(?:\([A-Za-z](?:,[A-Za-z])*\)|\(-?\d+\))?|\([A-Za-z](?:,[A-Za-z])+\)"
    rf"|{_SEGMENT}|(?:{_INDEXED}|{_SEGMENT})(?::(?:{_INDEXED}|{_SEGMENT}))+|\\(?!pi|infty)[a-z]+(?:_\{{\w+\}})?|[A-Z]?[a-z]{{3,}}"
)
_NAMED = re.compile(rf"({_SIMPLE_NAME})(?:=|\\in(?![A-Za-z]))(.+)", re.DOTALL)
_NAMED_LAST = re.compile(rf"([^=<>,]+)=({_INDEXED})")
# A sum or product of letters, whose value was asked for; but a minus, root or logarithm of one letter is a step.
_LETTERS = re.compile(r"[A-Za-z]\([^=<>,]{1,20}\)|(?:[^=<>\d,]|_\{\d+\}){1,60}")
_STEP = re.compile(
    r"-.*|\\sqrt(?:\[[^\]]*\])?\{[A-Za-z]\}|\|[A-Za-vxy]\||\\(?:ln|log)\{?\s*[A-Za-z]\}?|[A-Za-z]!+|.*\\equiv.*|\\pi"
)


def named(text: str) -> tuple[str, str] | None:
    r"""`(name, value)` of an answer such as `x=5`, `5=x`, `f(x)=x+1`, `(x,y)=(1,2)` or `x\in[0,1]`, or None."""
    if "=" not in text and r"\in" not in text:
        return None
    match = _NAMED.fullmatch(text)
    if match and not re.search("[=<>]", match[2]):
        return match[1], match[2].strip()
    if (turned := _NAMED_LAST.fullmatch(text)) and number(turned[1]) is not None:
        return turned[2], turned[1]
    return None


def names(text: str) -> set[str]:
    """The names of an answer's members, without an index: `x` of `x_1=1,x_2=2`."""
    return {pair[0].partition("_")[0] for part in split(text, {",", ";", r"\or"}) if (pair := named(part))}


def after_name(text: str, name: str) -> str | None:
    """The rest of a chain that begins with a name (`x=4/2=2`), or None."""
    return text[len(name) + 1 :] if text.startswith(f"{name}=") else None


def chain(text: str) -> list[str]:
    """Return the members of a chain of equations, without the names or letters that it begins with.

    Each of them must be equal for the chain to be true: `30-16=14`, `x+y=3+4=7` (without `x+y`). Empty for a text
    that is no chain.
    """
    parts = split(text, {"="}) if "=" in text else []
    if len(parts) < 2 or not all(parts):
        return []
    while len(parts) > 1 and is_quantity(parts[0]):
        parts = parts[1:]
    return parts[:-1] if len(parts) > 1 and is_quantity(parts[-1]) and number(parts[0]) is not None else parts


def in_percent(text: str) -> str:
    r"""`\frac14=25` of `\frac14=25\%` with every value in percent: `100\cdot(\frac14)=25`."""
    *before, last = split(text, {"="})
    parts = [part if is_quantity(part) else in_hundreds(part) for part in before]
    return "=".join([*parts, last])


def in_hundreds(part: str) -> str:
    r"""A value as a number of hundredths: what has a percent sign is one."""
    return part.removesuffix("%").removesuffix("\\") if part.endswith("%") else rf"100\cdot({part})"


def is_quantity(text: str) -> bool:
    """Whether a text names a quantity whose value an answer may give: `x`, `x+y`, `f(2)`, `|AB|`."""
    if re.fullmatch(_SIMPLE_NAME, text):
        return True
    return bool(_LETTERS.fullmatch(text)) and not _STEP.fullmatch(text) and "," not in text
