r"""Braces and arguments of LaTeX: matching, taking off, putting round what has none, splitting.

All are linear in the length.
"""

from __future__ import annotations

import re

_TAKES = re.compile(r"\\(?:frac|sqrt|binom)(?![A-Za-z])")
_ROOT = re.compile(r"\s*\[[^\]]*\]")
_ARGUMENT = re.compile(r"\s*(\{|\\[A-Za-z]+|[^\s\\}])")
_SCRIPT = re.compile(r"([_^])\s*(-?\d+|-?[A-Za-z]|-?\\[A-Za-z]+(?=[^A-Za-z{]|$)|\*)")
# 2^63^5 can only be 2^6 3^5: no power of a power is written so
_TWO_POWERS = re.compile(r"\^(\d)(\d+)(?=\^)")

TOKEN = re.compile(
    r"\\begin\{\w+\}|\\end\{\w+\}|\\\\|\\[{}]|\\langle|\\rangle|\\cup|\\pm|\\mp|\\[A-Za-z]+|.", re.DOTALL
)
OPENING = {"(", "[", "{", r"\{", r"\langle"}
CLOSING = {")", "]", "}", r"\}", r"\rangle"}


def matching_braces(text: str, opening: str = "{", ending: str = "}") -> dict[int, int]:
    r"""Return the position of the closing brace for that of every opening one; `\{` and `\}` are not braces."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == opening:
            opened.append(at)
        elif text[at] == ending and opened:
            closing[opened.pop()] = at
        at += 1
    return closing


def unwrapped(text: str) -> str:
    """Take off braces around the whole text."""
    if not text.startswith("{"):
        return text
    closing = matching_braces(text)
    start, end = 0, len(text)
    while text.startswith("{", start) and closing.get(start) == end - 1:
        start, end = start + 1, end - 1
    return text[start:end].strip()


def braced_arguments(text: str) -> str:
    r"""Put braces around arguments that have none: `\frac12`, `\frac1{72}`, `\sqrt2`, `\sqrt(2)`, `\frac\pi4`."""
    if not _TAKES.search(text):
        return text
    closing, brackets = matching_braces(text), matching_braces(text, "(", ")")
    replace: dict[int, tuple[int, str]] = {}
    for match in _TAKES.finditer(text):
        wanted = 1 if match[0] == r"\sqrt" else 2
        at = match.end()
        if wanted == 1 and (root := _ROOT.match(text, at)):
            at = root.end()
        for _ in range(wanted):
            token = _ARGUMENT.match(text, at)
            if not token:
                break
            start = token.start(1)
            if token[1] == "{":
                if start not in closing:
                    break
                at = closing[start] + 1
            elif token[1] == "(":
                if wanted == 2 or start not in brackets:
                    break
                replace[start] = (1, "{")
                replace[brackets[start]] = (1, "}")
                at = brackets[start] + 1
            elif token[1] in (r"\frac", r"\sqrt", r"\binom"):
                break  # TeX would read on; nobody writes that
            else:
                replace[start] = (token.end(1) - start, f"{{{token[1]}}}")
                at = token.end(1)
    return _replaced(text, replace)


def braced_scripts(text: str) -> str:
    r"""Put braces around exponents and subscripts: `x^2`, `x^-1`, `x^(1/2)`, `a_n`; `2^10` is read as `2^{10}`."""
    if "^" not in text and "_" not in text:
        return text
    text = _SCRIPT.sub(r"\1{\2}", _TWO_POWERS.sub(r"^\1 \2", text))
    if "^(" not in text:
        return text
    brackets = matching_braces(text, "(", ")")
    replace = {}
    for match in re.finditer(r"\^\(", text):
        start = match.end() - 1
        if start in brackets:
            replace[start] = (1, "{")
            replace[brackets[start]] = (1, "}")
    return _replaced(text, replace)


def split(text: str, separators: set[str]) -> list[str]:
    """Split at separators that stand outside all brackets, whatever their kind."""
    parts, last, depth = [], 0, 0
    for match in TOKEN.finditer(text):
        token = match[0]
        if token in OPENING or token.startswith(r"\begin"):
            depth += 1
        elif token in CLOSING or token.startswith(r"\end"):
            depth -= 1
        elif depth == 0 and token in separators:
            parts.append(text[last : match.start()].strip())
            last = match.end()
    return [*parts, text[last:].strip()]


def _replaced(text: str, replace: dict[int, tuple[int, str]]) -> str:
    """Replace at each position so many characters by a text."""
    pieces, last = [], 0
    for position in sorted(replace):
        length, new = replace[position]
        pieces += [text[last:position], new]
        last = position + length
    return "".join([*pieces, text[last:]])
