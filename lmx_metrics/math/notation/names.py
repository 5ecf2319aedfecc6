r"""Names that are written without their backslash: `pi`, `sqrt(2)`, `cot(x)`, `infinity`, and `2**10`.

Both answers of a comparison go through here, so a word that happens to be a name (`tan`) stays equal to itself.
"""

from __future__ import annotations

import re

_FUNCTIONS = "arcsin arccos arctan sinh cosh tanh sin cos tan cot sec csc ln log exp"
_GREEK = "pi theta alpha beta gamma delta lambda mu sigma phi omega"
_OTHER = {"infinity": r"\infty", "infty": r"\infty", "inf": r"\infty", "sqrt": r"\sqrt", "cbrt": r"\sqrt[3]"}
_OTHER |= {"frac": r"\frac", "cdot": r"\cdot", "binom": r"\binom", "cup": r"\cup"}
_LATEX = {name: rf"\{name}" for name in (_FUNCTIONS + " " + _GREEK).split()} | _OTHER

FUNCTION = re.compile(rf"\\(?:text|operatorname\*?)\s*\{{\s*({'|'.join(_FUNCTIONS.split())})\s*\}}")
"""A function's name in a text: `\\operatorname{sin}`, `\\mathrm{ln}`."""

_WORD = re.compile(rf"(?<![A-Za-z\\])({'|'.join(_LATEX)})(?![A-Za-z])")
# `cosx`: one letter as the argument, at the end of a word
_JOINED = re.compile(r"(?<![A-Za-z\\])(sin|cos|tan|cot|sec|csc|ln|log)([xyztn])(?![A-Za-z])")
_ROOT_OF_DIGITS = re.compile(r"(?<![A-Za-z\\])(sqrt|cbrt)\s*(\d+)")
_CALLED = re.compile(r"(?<![A-Za-z\\])(binom|frac)\s*\(([^(),]{1,20}),([^(),]{1,20})\)")
_ANY = re.compile("[a-z]{2}")


def with_backslashes(text: str) -> str:
    """Return the text with known names as LaTeX commands and `**` as a power."""
    text = text.replace("**", "^")
    if not _ANY.search(text):
        return text
    text = _ROOT_OF_DIGITS.sub(lambda match: f"{_LATEX[match[1]]}{{{match[2]}}}", text)
    text = _CALLED.sub(r"\\\1{\2}{\3}", text)
    text = _JOINED.sub(r"\\\1 \2", text)
    return _WORD.sub(lambda match: _LATEX[match[1]] + " ", text)
