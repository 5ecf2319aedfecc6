r"""One spelling for answers that differ in notation only: `\dfrac12` and `\frac{1}{2}`, `1{,}000` and `1000`.

Nothing here computes: two answers that become the same string mean the same, two that do not may still be equal
(`lmx_metrics.math.compare.equivalence`). Any string is taken; the time is linear in its length.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

from lmx_metrics.math.notation.latex import braced_arguments, braced_scripts, unwrapped
from lmx_metrics.math.notation.names import FUNCTION, with_backslashes
from lmx_metrics.math.notation.numbers import counted_in_words
from lmx_metrics.math.notation.units import canonical, split_unit

MAX_LENGTH = 2000
"""Characters of an answer that is looked at closer; a longer one is only equal to itself."""

_SYMBOLS = {
    "−": "-", "–": "-", "—": "-", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": "*", "÷": "/", "⁄": "/",
    "π": r"\pi ", "θ": r"\theta ", "√": r"\sqrt ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "⩽": r"\le ", "⩾": r"\ge ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ",
    "∓": r"\mp ", "≈": r"\approx ", "∖": r"\setminus ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "º": r"^\circ ",
    "…": r"\ldots ", "⟨": r"\langle ", "⟩": r"\rangle ", "’": "'", "‘": "'", "“": '"', "”": '"', "λ": r"\lambda ",
    "\u200b": "", "\ufeff": "",
}  # fmt: skip
_SYMBOL = re.compile("|".join(_SYMBOLS))
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")

_SAME = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom", "tbinom": r"\binom",
    "leq": r"\le ", "leqslant": r"\le ", "geq": r"\ge ", "geqslant": r"\ge ", "leqq": r"\le ", "geqq": r"\ge ",
    "lt": "<", "gt": ">", "neq": r"\ne ", "backslash": r"\setminus ", "smallsetminus": r"\setminus ",
    "times": r"\cdot ", "ast": "*", "div": "/", "varnothing": r"\emptyset ", "degree": r"^\circ ", "lbrace": r"\{",
    "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "colon": ":", "mid": "|",
    "vert": "|", "lvert": "|", "rvert": "|", "R": r"\mathbb{R}", "Reals": r"\mathbb{R}", "reals": r"\mathbb{R}",
    "quad": " ", "qquad": " ", "displaystyle": "", "textstyle": "", "limits": "", "thinspace": " ", "space": " ",
    "mbox": r"\text", "hbox": r"\text", "textbf": r"\text", "textrm": r"\text", "textit": r"\text",
    "textsf": r"\text", "texttt": r"\text", "emph": r"\text", "mathrm": r"\text", "operatorname": r"\text",
    "left": "", "right": "", "middle": "", "big": "", "Big": "", "bigg": "", "Bigg": "", "bigl": "", "bigr": "",
    "Bigl": "", "Bigr": "", "Large": "", "large": "", "LARGE": "", "huge": "", "bf": "", "rm": "", "it": "",
    "dots": r"\ldots ", "land": r"\text{ and }", "lor": r"\text{ or }", "wedge": r"\text{ and }",
    "vee": r"\text{ or }",
}  # fmt: skip
_COMMAND = re.compile(r"\\\\|\\([A-Za-z]+)|\\[,;:!> \n]|~")
_FONT = re.compile(r"\\(?:mathbf|boldsymbol|mathit|mathsf|bm|underline)\s*\{([^{}]*)\}")
_COLOUR = re.compile(
    r"\\(?:textcolor|color)\s*(?:\[[^\]]*\])?\{[^{}]*\}|\\(?:ensuremath|phantom\{[^{}]*\})(?![A-Za-z])"
)
_REALS = re.compile(r"\\(?:mathbb|Bbb|mathbf|mathrm|mathcal)\s*(?:\{\s*R\s*\}|R(?![A-Za-z]))")
_ALL_REALS = re.compile(
    r"^(?:x\s*(?:\\in|(?:can be|is))\s*)?(?:the set of\s+)?(?:all|any) reals?(?: numbers?)?(?:\s+(?:for\s+)?[a-z])?"
    r"(?:,?\s*(?:except|other than|but not|but|excluding|not equal to|\\ne|such that)(?:\s+(?:for|when|where))?)?"
    r"(?=[\s,]|$)(?:\s*[a-z]\s*(=|\\ne))?",
    re.IGNORECASE,
)
_TIMES_TEN = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")
_DELIMITER_DOT = re.compile(r"\\(left|right)\s*\.")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_DEGREE = re.compile(r"\^\s*\{?\s*\\circ\s*\}?")
_ENDS_IN_DEGREES = re.compile(r"(?:\\circ\s*\}*|°|\bdegrees?\s*\}?)[\s.$]*$")
_TEMPERATURE = re.compile(r"\^\s*\{?\s*\\circ\s*\}?\s*(?:\\text\{\s*)?(?:(C)|F)\s*\}?$")
_MATRIX = re.compile(r"\\(begin|end)\s*\{(?:[bp]?matrix|smallmatrix)\}")
_ROW_GAP = re.compile(r"\\\\\s*\[[^\]]{0,20}\]")
_TEXT_SPACED = re.compile(r"\\text\s+\{")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_JOIN_TEXT = re.compile(r"[,;]?\s*\\text\{\s*,?\s*(and|or)\s*,?\s*\}")
_JOIN_WORD = re.compile(r",?\s+(and|or)\s+")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![A-Za-z])")
_ASCII_RELATION = re.compile(r"([<>])=|(?<=\s)!=")
_TOO = {"<": r"\le ", ">": r"\ge ", None: r"\ne "}
_THOUSANDS_SPACED = re.compile(r"(?<![\d^_.])\d{1,3}(?:(?:,\s*\\!|\{,\}|\\,)\s*\d{3})+(?!\d)")
_GROUP_MARK = re.compile(r"[,\\!{}\s]+")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_THOUSANDS_IN_BRACES = re.compile(r"\{(-?[1-9]\d{0,2}(?:,\d{3})+)\}")
_THOUSANDS_BLANK = re.compile(r"(?<![\d^_.}])(?<!\d\s)[1-9]\d{0,2}(?:\s\d{3})+(?!\d|\s\d)")
_SCIENTIFIC = re.compile(r"^([-+]?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})(?=\s*(?:$|\\text|[A-Za-z\\%]))")
_SPACE = re.compile(r"\s+")
_BLANK_KEPT = re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])|(?<=[\d.])\s+(?=[\d.])")
_BARE_POINT = re.compile(r"(?<![\d.])\.(?=\d)")
_WORDS = re.compile(r"[^\W\d_]{2}[^\d\\{}^_+*/=<>|]*")
_LETTER = re.compile(r"\(\s*([A-Za-z])\s*\)")
_SIMPLE_FRACTION = re.compile(r"(-?)(\d+)/(\d+)")
_SEGMENT = re.compile(r"^(?:\|([A-Z]{2})\||\\overline\{([A-Z]{2})\})(?==)")
_MIXED = re.compile(r"(?<![\d.^_}])(\d+) (\d+)/(\d+)(?![\d.])")
_QUOTED = re.compile(r"^(?:``|[`'\"])+(.*?)(?:''|['\"])+\.?$", re.DOTALL)
_STARS = re.compile(r"\*\*([^*]+)\*\*")
_ARTICLE = re.compile(r"^(?:an?|the)\s+(?=\S{3})", re.IGNORECASE)
_LEADING = re.compile(
    r"^(?:\\text\s*\{\s*)?(?:(?:the )?(?:final |correct )?answer(?: is|:| =)|there (?:is|are)|the|exactly|only"
    r"|a total of|for all|all)\s*\}?\s*(?=[-\d\\$(]|[a-z]\s*(?:[<>]|\\[lgn]e))",
    re.IGNORECASE,
)
_FRACTION_BEFORE = re.compile(r"(?<![\d.}^/])(\d+)/(\d+)\s+(?=[A-Za-z\\(])")
_COMPARED = (
    (re.compile(r"(?:greater|more|larger) than or equal to|at least|no less than"), r"[{},\infty)"),
    (re.compile(r"(?:less|smaller) than or equal to|at most|no more than"), r"(-\infty,{}]"),
    (re.compile(r"greater than|more than|larger than"), r"({},\infty)"),
    (re.compile(r"less than|smaller than"), r"(-\infty,{})"),
)
_NUMBER = re.compile(r"-?[1-9]\d*|0")


@lru_cache(maxsize=512)
def normalise(answer: str) -> tuple[str, str]:
    """`(value, unit)`: the answer in one spelling, without blank space or a unit, and the unit if it is known."""
    if _NUMBER.fullmatch(answer):
        return answer, ""
    if len(answer) > MAX_LENGTH:
        return answer.strip(), ""
    spelled = spell(answer)
    value, unit = split_unit(counted_in_words(spelled))
    if not unit and _ENDS_IN_DEGREES.search(answer):
        unit = "degree"
    if unit and "=" in value:
        value = _TEXT.sub(lambda match: "" if canonical(match[1]) == unit else match[0], value)
    value = _SCIENTIFIC.sub(lambda match: rf"{match[1]}\\cdot 10^{{{match[2]}}}".replace("\\\\", "\\"), value.strip())
    if _THOUSANDS.fullmatch(value):
        value = value.replace(",", "")
    return tighten(value), unit


def spell(text: str) -> str:
    r"""One spelling for symbols, commands and separators; texts (`\text{...}`) and blank space stay."""
    text = _symbols(text)
    text = text.replace(r"\$", "\0").replace("$", " ").replace("\0", r"\$")
    text = _REALS.sub(r"\\mathbb{R}", _COLOUR.sub("", text))
    text = _FONT.sub(r"\1", _THOUSANDS_SPACED.sub(lambda match: _GROUP_MARK.sub("", match[0]), text))
    text = _TIMES_TEN.sub(r"\\cdot ", _DELIMITER_DOT.sub("", text))
    text = _COMMAND.sub(_command, _MATRIX.sub(r"\\\1{pmatrix}", text))
    text = FUNCTION.sub(r"\\\1 ", _TEXT_SPACED.sub(r"\\text{", text))
    text = (
        _ROW_GAP.sub(r"\\\\", text)
        .replace(r"\not=", r"\ne ")
        .replace("+/-", r"\pm ")
        .replace("{:}", ":")
        .replace("...", r"\ldots ")
    )
    text = _ASCII_RELATION.sub(lambda match: _TOO[match[1]], text)
    if _TRIGONOMETRIC.search(text):  # inside a function degrees are a factor, elsewhere a unit
        text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    if r"\circ" in text:
        text = _TEMPERATURE.sub(lambda match: r"\text{ celsius}" if match[1] else r"\text{ fahrenheit}", text)
        text = _DEGREE.sub(" ", text)
    text = unwrapped(text.strip())
    if (whole := _TEXT.fullmatch(text)) or (whole := _QUOTED.fullmatch(text)):
        text = whole[1].strip()
        if whole := _QUOTED.fullmatch(text):
            text = whole[1].strip()
    if starred := _STARS.fullmatch(text):
        text = starred[1]
    text = _LEADING.sub("", _all_reals(text))
    # inequalities may hold together or not; members of a list are only several
    joined = _connective if _RELATION.search(text) else ", "
    text = _JOIN_TEXT.sub(joined, text)
    if not _WORDS.fullmatch(text.strip()):
        text = _JOIN_WORD.sub(joined, text)
    return text.strip().rstrip(".,;:").strip()


def tighten(text: str) -> str:
    """Take out blank space and brace what `spell` left: arguments, bare fractions, decimals that start with a point.

    Between two digits one blank stays, for `2 3` is not `23`; groups of thousands and mixed numbers are joined. An
    answer of words keeps single blanks and is put in lower case, unless it is a few capitals (`ACF`).
    """
    text = unwrapped(_TEXT.sub(lambda match: f" {match[1].strip()} ", text).strip())
    if letter := _LETTER.fullmatch(text):
        return letter[1]
    text = with_backslashes(text)
    if is_words(text):
        text = _ARTICLE.sub("", _SPACE.sub(" ", text).rstrip(".").strip())
        return text if text.isupper() and len(text) <= 3 else text.casefold()
    text = _SPACE.sub(" ", braced_arguments(_FRACTION_BEFORE.sub(r"\\frac{\1}{\2}", text)))
    text = braced_scripts(_THOUSANDS_BLANK.sub(lambda match: match[0].replace(" ", ""), text))
    text = _BLANK_KEPT.sub("\\1\0", text)
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text.replace(" ", "").replace("\0", " "))
    text = _THOUSANDS_IN_BRACES.sub(lambda match: match[0].replace(",", ""), text)
    text = _BARE_POINT.sub("0.", text)
    if "=" in text:
        text = _SEGMENT.sub(r"\1\2", text)
    if fraction := _SIMPLE_FRACTION.fullmatch(text):
        text = rf"{fraction[1]}\frac{{{fraction[2]}}}{{{fraction[3]}}}"
    return text


def is_words(text: str) -> bool:
    """Whether an answer is prose, such as a name, and no formula (`xy` and `abc` may be products)."""
    if not _WORDS.fullmatch(text):
        return False
    return len(text) > 3 or not text.islower()


def _symbols(text: str) -> str:
    if text.isascii():
        return text
    text = _VULGAR.sub(lambda match: _vulgar(match[0]), text)
    text = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    return unicodedata.normalize("NFKC", _SYMBOL.sub(lambda match: _SYMBOLS[match[0]], text))


def _all_reals(text: str) -> str:
    r"""`all real numbers except 3` as `\mathbb{R}\setminus 3`."""
    if " real" not in text:
        return text
    plain = _TEXT.sub(r" \1 ", text).strip()
    if match := _ALL_REALS.match(plain):
        rest = plain[match.end() :].strip(" ,.")
        for words, form in _COMPARED:
            if said := words.match(rest):
                return form.format(rest[said.end() :].strip())
        return rf"\mathbb{{R}}\setminus {rest}" if rest else r"\mathbb{R}"
    return text


def _connective(match: re.Match[str]) -> str:
    return rf" \{match[1]} "


def _command(match: re.Match[str]) -> str:
    if match[0] == "\\\\":
        return match[0]
    if match[1] is None:
        return "" if match[0] == r"\!" else " "
    return _SAME.get(match[1], match[0])


def _vulgar(character: str) -> str:
    value = Fraction(unicodedata.numeric(character)).limit_denominator(10)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
