r"""One spelling for answers that differ in notation only: `\dfrac12` and `\frac{1}{2}`, `1{,}000` and `1000`.

Nothing here computes: two answers that become the same string mean the same, two that do not may still be equal
(`lmx_metrics.math.equivalence`). Any string is taken; the time is linear in its length.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from lmx_metrics.math.answer import matching_braces
from lmx_metrics.math.units import split_unit

MAX_LENGTH = 2000
"""Characters of an answer that is looked at closer; a longer one is only equal to itself."""

_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": "*", "÷": "/", "⁄": "/",
    "π": r"\pi ", "θ": r"\theta ", "√": r"\sqrt ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ", "°": r"^\circ ", "º": r"^\circ ",
    "…": r"\ldots ", "⟨": r"\langle ", "⟩": r"\rangle ", "’": "'", "\u200b": "", "\ufeff": "",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")

_SAME = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom", "tbinom": r"\binom",
    "leq": r"\le ", "leqslant": r"\le ", "geq": r"\ge ", "geqslant": r"\ge ", "lt": "<", "gt": ">", "neq": r"\ne ",
    "times": r"\cdot ", "ast": "*", "div": "/", "varnothing": r"\emptyset ", "degree": r"^\circ ", "lbrace": r"\{",
    "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "colon": ":", "mid": "|",
    "quad": " ", "qquad": " ", "displaystyle": "", "textstyle": "", "limits": "", "thinspace": " ", "space": " ",
    "mbox": r"\text", "hbox": r"\text", "textbf": r"\text", "textrm": r"\text", "textit": r"\text",
    "textsf": r"\text", "mathrm": r"\text", "operatorname": r"\text",
    "left": "", "right": "", "big": "", "Big": "", "bigg": "", "Bigg": "", "bigl": "", "bigr": "", "Bigl": "",
    "Bigr": "", "dots": r"\ldots ", "land": r"\text{and}", "lor": r"\text{or}",
}  # fmt: skip
_COMMAND = re.compile(r"\\\\|\\([A-Za-z]+)|\\[,;:!> \n]|~")
_FONT = re.compile(r"\\(?:mathbf|boldsymbol|mathit|mathsf|bm)\s*\{([^{}]*)\}")
_DELIMITER_DOT = re.compile(r"\\(left|right)\s*\.")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_DEGREE = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\text\{\s*degrees?\s*\}")
_MATRIX = re.compile(r"\\(begin|end)\s*\{(?:[bp]?matrix|smallmatrix)\}")
_ROW_GAP = re.compile(r"\\\\\s*\[[^\]]{0,20}\]")
_TEXT_SPACED = re.compile(r"\\text\s+\{")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_JOIN_TEXT = re.compile(r"[,;]?\s*\\text\{\s*,?\s*(?:and|or)\s*,?\s*\}")
_JOIN_WORD = re.compile(r",?\s+(?:and|or)\s+")
_THOUSANDS_SPACED = re.compile(r"(?<=\d)(?:,\s*\\!|\{,\}|\\,)\s*(?=\d{3}(?!\d))")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_THOUSANDS_IN_BRACES = re.compile(r"\{(-?[1-9]\d{0,2}(?:,\d{3})+)\}")
_SPACE = re.compile(r"\s+")
_BARE_POINT = re.compile(r"(?<![\d.])\.(?=\d)")
_WORDS = re.compile(r"[^\W\d_]{2}[^\d\\{}^_+*/=<>|]*")
_LETTER = re.compile(r"\(\s*([A-Za-z])\s*\)")
_SCRIPT = re.compile(r"([_^])\{([A-Za-z0-9])\}")
_SIMPLE_FRACTION = re.compile(r"(-?)(\d+)/(\d+)")


def normalise(answer: str) -> tuple[str, str]:
    """`(value, unit)`: the answer in one spelling, without blank space or a unit, and the unit if it is known."""
    if len(answer) > MAX_LENGTH:
        return answer.strip(), ""
    spelled = spell(answer)
    whole = _TEXT.fullmatch(spelled)
    value, unit = split_unit(whole[1].strip() if whole else spelled)
    if _THOUSANDS.fullmatch(value.replace(" ", "")):
        value = value.replace(",", "")
    return tighten(value), unit


def spell(text: str) -> str:
    r"""One spelling for symbols, commands and separators; texts (`\text{...}`) and blank space stay."""
    text = _VULGAR.sub(lambda match: _vulgar(match[0]), text)
    text = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    for symbol, latex in _SYMBOLS.items():
        text = text.replace(symbol, latex)
    text = unicodedata.normalize("NFKC", text)
    text = text.replace(r"\$", "\0").replace("$", "").replace("\0", r"\$")
    text = _FONT.sub(r"\1", _THOUSANDS_SPACED.sub("", text))
    text = _DELIMITER_DOT.sub("", text)
    text = _COMMAND.sub(_command, _MATRIX.sub(r"\\\1{pmatrix}", text))
    text = _TEXT_SPACED.sub(r"\\text{", text)
    text = _ROW_GAP.sub(r"\\\\", text)
    if _TRIGONOMETRIC.search(text):  # inside a function degrees are a factor, elsewhere a unit
        text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    text = _DEGREE.sub("", text)
    text = _JOIN_TEXT.sub(", ", text)
    if not _WORDS.fullmatch(text.strip()):
        text = _JOIN_WORD.sub(", ", text)
    return text.strip().rstrip(".,;:").strip()


def tighten(text: str) -> str:
    """Take out blank space and brace what `spell` left: arguments, bare fractions, decimals that start with a point.

    An answer of words keeps single blanks and is put in lower case, unless it is a few capitals (`ACF`).
    """
    text = unwrapped(_TEXT.sub(lambda match: match[1].strip(), text).strip())
    if letter := _LETTER.fullmatch(text):
        return letter[1]
    if is_words(text):
        text = _SPACE.sub(" ", text).rstrip(".")
        return text if text.isupper() and len(text) <= 3 else text.casefold()
    text = braced_arguments(text)
    text = re.sub(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])", "\\1\0", text)
    text = _SPACE.sub("", text).replace("\0", " ")
    text = _THOUSANDS_IN_BRACES.sub(lambda match: match[0].replace(",", ""), text)
    text = _SCRIPT.sub(r"\1\2", _BARE_POINT.sub("0.", text))
    if fraction := _SIMPLE_FRACTION.fullmatch(text):
        text = rf"{fraction[1]}\frac{{{fraction[2]}}}{{{fraction[3]}}}"
    return text


def is_words(text: str) -> bool:
    """Whether an answer is prose, such as a name, and no formula (`xy` and `abc` may be products)."""
    if not _WORDS.fullmatch(text):
        return False
    return len(text) > 3 or not text.islower()


def unwrapped(text: str) -> str:
    """Take off braces around the whole text."""
    closing = matching_braces(text)
    start, end = 0, len(text)
    while text.startswith("{", start) and closing.get(start) == end - 1:
        start, end = start + 1, end - 1
    return text[start:end].strip()


def braced_arguments(text: str) -> str:
    r"""Put braces around arguments that have none: `\frac12`, `\frac1{72}`, `\sqrt2`, `\frac\pi4`, `x^\pi`."""
    closing = matching_braces(text)
    insert: dict[int, str] = {}
    for match in re.finditer(r"\\(?:frac|sqrt|binom)(?![A-Za-z])", text):
        wanted = 1 if match[0] == r"\sqrt" else 2
        at = match.end()
        if wanted == 1 and (root := re.compile(r"\s*\[[^\]]*\]").match(text, at)):
            at = root.end()
        for _ in range(wanted):
            token = re.compile(r"\s*(\{|\\[A-Za-z]+|[^\s\\}])").match(text, at)
            if not token:
                break
            if token[1] == "{":
                if token.start(1) not in closing:
                    break
                at = closing[token.start(1)] + 1
            elif token[1] in (r"\frac", r"\sqrt", r"\binom"):
                break  # TeX would read on; nobody writes that
            else:
                insert[token.start(1)] = insert.get(token.start(1), "") + "{"
                insert[token.end(1)] = "}" + insert.get(token.end(1), "")
                at = token.end(1)
    pieces, last = [], 0
    for position in sorted(insert):
        pieces += [text[last:position], insert[position]]
        last = position
    return "".join([*pieces, text[last:]])


def _command(match: re.Match[str]) -> str:
    if match[0] == "\\\\":
        return match[0]
    if match[1] is None:
        return "" if match[0] == r"\!" else " "
    return _SAME.get(match[1], match[0])


def _vulgar(character: str) -> str:
    value = Fraction(unicodedata.numeric(character)).limit_denominator(10)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
