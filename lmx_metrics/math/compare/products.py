r"""Products without a sign, made plain before an expression is read by the LaTeX grammar.

The grammar reads a whole number before a bracket, and any two numbers side by side, as a mixed number: `2(3)` as 5.
Here `2(3)` becomes `2\cdot(3)`, `2^{6}3` becomes `2^{6}\cdot3`, and only a whole number before a proper fraction is a
sum. What could be read in more than one way is not read.
"""

from __future__ import annotations

import re

from lmx_metrics.math.notation.latex import matching_braces

_MIXED = re.compile(r"(?<![\d.}^_])(\d+)\\frac\{(\d+)\}\{(\d+)\}")
_APART = re.compile(
    r"[\d.] [\d.]|[\w)}]\\\{|\\\}[\w(]|\d\{\d|\}\{\d+\}\{|(?:^|[-+*=(,])\{[^{}]*\}[{\d(]|(?<![\d.])\.(?!\d)"
)
_NAME_BEFORE = re.compile(r"(?:[A-Za-z]|\\[A-Za-z]+)'*$")
_ARGUMENTS = re.compile(r"\\(?:frac|d?binom|sqrt)(?:\[[^\]]*\])?$")
_NUMERIC = re.compile(r"[\d)\]}]$")
_FACTOR = re.compile(r"[\d(\[{]|\\(?:frac|sqrt|binom|pi|sin|cos|tan|log|ln|left)(?![A-Za-z])")
_SQUARE = re.compile(r"\\sqrt\[[^\]]*\]")


def explicit(text: str) -> str | None:
    """Return a normalised expression with a dot in every product of numbers, or None for one that is ambiguous."""
    if _APART.search(text):
        return None
    if any(int(match[2]) >= int(match[3]) for match in _MIXED.finditer(text)):
        return None
    text = _MIXED.sub(r"(\1+\\frac{\2}{\3})", text)
    if "[" in text and not _SQUARE.search(text):
        text = text.replace("[", "(").replace("]", ")")
    opening = {end: start for start, end in matching_braces(text).items()}
    pieces: list[str] = []
    last = 0
    for match in re.finditer(r"[\d)}](?=[\d(\\{])", text):
        at = match.end()
        if match[0].isdigit() and (text[at].isdigit() or text[at] in "\\{"):
            continue
        if not _FACTOR.match(text, at) or not _ends_a_number(text, match.start(), opening):
            continue
        if text[at] == "{" and _takes_another(text, match.start(), opening):
            continue
        pieces += [text[last:at], r"\cdot "]
        last = at
    return "".join([*pieces, text[last:]])


def _takes_another(text: str, at: int, opening: dict[int, int]) -> bool:
    """Whether the braces that end here are the first argument of a command."""
    start = opening.get(at)
    return start is None or bool(_ARGUMENTS.search(text[:start]))


def _ends_a_number(text: str, at: int, opening: dict[int, int]) -> bool:
    """Whether a factor ends at a position: no subscript or power of a function's name, whose argument would follow."""
    if text[at] == ")":
        return True
    if text[at].isdigit():
        return True
    start = opening.get(at)
    if start is None:
        return False
    before = text[:start]
    if before.endswith(("^", "_")):
        base = before[:-1]
        if base.endswith("}") and (script := opening.get(len(base) - 1)) is not None:  # x_{1}^{2}
            return before.endswith("^") and _ends_a_number(text, len(base) - 1, opening) and script > 0
        return not _NAME_BEFORE.search(base) or (
            before.endswith("^") and bool(re.search(r"(?<![A-Za-z\\])[A-Za-z]$", base)) and text[at + 1] != "("
        )
    if before.endswith("}") and (first := opening.get(len(before) - 1)) is not None:
        return bool(re.search(r"\\(?:frac|binom)$", text[:first]))
    return bool(re.search(r"\\sqrt(?:\[[^\]]*\])?$", before))
