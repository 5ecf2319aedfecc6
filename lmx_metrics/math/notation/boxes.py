r"""The `\boxed{...}` of a text: their contents, the signs before them, and which of them belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lmx_metrics.math.notation.latex import matching_braces

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])[ \t\n]*")
_UNBRACED_IN_MATH = re.compile(r"([^$\n]*?)(?:\$|\\\)|\\\])")
_UNBRACED = re.compile(r"\S+")
_LENGTH = 1000
"""Characters around a box that are looked at."""
_GAP = 200
"""Characters between two boxes of one answer at most."""

# A sign belongs to the box when nothing that it could be subtracted from stands before it; "- \boxed" may be a bullet.
_SIGN = re.compile(r"(?:(?:[$=(\[{&,;:]|\\\(|\\\[|\\(?:left|[bB]igl?)\()\s*([-−–]|\\pm)\s*|(?:^|\n|\s)([-−–])\$?)$")
_PERCENT = re.compile(r"\s*\\?%")
_NAME = r"[A-Za-z](?:_(?:\{?\w+\}?))?(?:\([A-Za-z0-9]\))?|\\[a-z]+"
_NAMED = re.compile(rf"(?:^|[\s$({{,&]|\\\()({_NAME})\s*(?:=|\\in(?![A-Za-z])|\$?\s+is\b)\s*(?:\$|\\\()?\s*[-−–]?$")
_DECORATION = re.compile(
    r"\\[()\[\]]|\\(?:quad|qquad|left|right|displaystyle|,|;|!|:| )|\^\{?\\circ\}?|\$|&|~|\\(?:begin|end)\{\w+\*?\}"
)
_TEXT = re.compile(r"\\(?:text|mbox|textrm|mathrm)\s*\{([^{}]*)\}")
_JOIN = re.compile(
    r"\s*(?:[,;.]?\s*(?:(?:and|or)(?:\s+(?:also|else|either|that))?|[,;]|\\\\)\s*)"
    rf"(?:and\s+|or\s+)?(?:either\s+)?(?:({_NAME})\s*(?:=|is\s))?\s*[-−–]?\s*"
)
_CORRECTION = re.compile(
    r"\b(?:no|not|wait|actually|instead|wrong|mistake|corrected|correction|incorrect|rather|extraneous|reject\w*"
    r"|invalid|discard\w*|however|check(?:ing)? again|intermediate)\b|n't\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Box:
    """A box that is not empty: where it stands, and its content with the sign and percent sign around it."""

    start: int
    end: int
    content: str


def boxes(text: str, percent: bool = True) -> list[Box]:
    r"""Return the balanced boxes that are not empty, in order; of nested ones only the innermost.

    `\boxed 5` without braces reaches to the end of the formula if there is one on its line, else over one word.
    A percent sign behind a box is left out unless `percent`.
    """
    closing = matching_braces(text)
    found: list[Box] = []
    reaches = len(text) + 1
    for match in reversed(list(_BOX.finditer(text))):
        start = match.end()
        if text.startswith("{", start):
            end = closing.get(start, -1) + 1
            content = text[start + 1 : end - 1] if end else ""
        else:
            content = _unbraced(text, start)
            end = start + len(content)
        if content.strip() and end <= reaches:
            reaches = match.start()
            found.append(Box(match.start(), end, _with_signs(text, match.start(), end, content.strip(), percent)))
        elif content.strip():  # it holds the box that was found before it
            reaches = min(reaches, match.start())
    return found[::-1]


def joined(text: str, found: list[Box]) -> list[str]:
    r"""Return the contents of the last boxes that form one answer, without repetitions: `\boxed{1}` and `\boxed{2}`.

    Boxes belong together when nothing but a comma, "and" or "or" and the same name (`x =`) stands between them.
    """
    chosen = found[-1:]
    for box in reversed(found[:-1]):
        if not _belong_together(text, box, chosen[0]):
            break
        chosen.insert(0, box)
    return distinct(chosen)


def distinct(found: list[Box]) -> list[str]:
    """Return the contents of boxes, each once."""
    return list(dict.fromkeys(box.content for box in found))


def corrects_itself(text: str, found: list[Box]) -> bool:
    """Whether words such as "no", "wait" or "extraneous" stand behind the first box."""
    return bool(found) and any(
        _CORRECTION.search(text, one.end, two.start if two else min(len(text), one.end + _LENGTH))
        for one, two in zip(found, [*found[1:], None], strict=True)
    )


def _belong_together(text: str, one: Box, two: Box) -> bool:
    if two.start - one.end > _GAP:
        return False
    between = _DECORATION.sub(" ", _TEXT.sub(r" \1 ", text[one.end : two.start]))
    link = _JOIN.fullmatch(between.replace("%", " "))
    if not link:
        return False
    before = _NAMED.search(text[max(0, one.start - 60) : one.start])
    return not (link[1] and before) or _letter(link[1]) == _letter(before[1])


def _letter(name: str) -> str:
    return name.partition("_")[0]


def _with_signs(text: str, start: int, end: int, content: str, percent: bool) -> str:
    if sign := _SIGN.search(text[max(0, start - 30) : start]):
        minus = "-" if (sign[1] or sign[2]) != r"\pm" else r"\pm "
        content = f"{minus}({content})" if re.search(r".[-+,]", content) else minus + content
    if percent and _PERCENT.match(text, end) and not content.endswith("%"):
        content += r"\%"
    return content


def _unbraced(text: str, start: int) -> str:
    line = text[start : start + _LENGTH].partition("\n")[0]
    if formula := _UNBRACED_IN_MATH.match(line):
        return formula[1]
    word = _UNBRACED.match(line)
    return word[0].rstrip(".,;:") if word else ""
