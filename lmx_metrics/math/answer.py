r"""Where is the final answer in a solution? The last `\boxed{...}`, else a final-answer phrase, else nowhere.

All functions take any string, never raise, and run in time linear in its length.
"""

from __future__ import annotations

import re

from lmx_metrics.text import normalise_newlines, split_reasoning

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])[ \t\n]*")
_UNBRACED_IN_MATH = re.compile(r"([^$\n]*?)(?:\$|\\\)|\\\])")
_UNBRACED = re.compile(r"\S+")

# "the answer is", "Final answer:", "**Answer:**", "the answer to the question is", with what follows.
_PHRASE = re.compile(
    r"\b(?:final\s{1,3})?answers?\b(?:[ ]to[ ][^\n.:$]{1,60}?)?[*_\s]{0,4}(?:\bis\b|\bare\b|:|=)[*_:\s]{0,8}(?=\S)",
    re.IGNORECASE,
)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOIN = re.compile(r"\s*(?:,?\s*(?:and|or)|,)\s*(?=\$|\\\(|\\\[)")
_SENTENCE_END = re.compile(r"[.!?](?:[\"'”)*_]*)(?:\s|$)")
_PROMISE = re.compile(r"\.?\s*I hope (?:it|this) is correct.*", re.IGNORECASE | re.DOTALL)

_PHRASE_LENGTH = 1000
"""Characters after a final-answer phrase that are looked at."""


def extract(text: str) -> str | None:
    r"""Return the final answer as it was written, or None where there is none.

    Reasoning (`<think>...</think>`) is taken out first: a box in it is a step, not an answer. Then the last
    balanced, not empty `\boxed` or `\fbox` counts (of nested boxes the inner one); without any, what follows the
    last phrase such as "The answer is" or "Answer:", up to the end of its sentence.
    """
    answer, _ = split_reasoning(normalise_newlines(text), "\0")
    boxed = last_boxed(answer)
    return boxed if boxed is not None else after_phrase(answer)


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last balanced `\boxed{...}` or `\fbox{...}` that is not empty, or None.

    `\boxed 5` without braces reaches to the end of the formula if there is one on its line, else over one word.
    """
    closing = matching_braces(text)
    for match in reversed(list(_BOX.finditer(text))):
        start = match.end()
        if text.startswith("{", start):
            content = text[start + 1 : closing[start]] if start in closing else ""
        else:
            content = _unbraced(text, start)
        if content.strip():
            return content.strip()
    return None


def matching_braces(text: str) -> dict[int, int]:
    r"""Return the position of the closing brace for that of every opening one; `\{` and `\}` are not braces."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "{":
            opened.append(at)
        elif text[at] == "}" and opened:
            closing[opened.pop()] = at
        at += 1
    return closing


def after_phrase(text: str) -> str | None:
    """Return what follows the last final-answer phrase: its formulas, else the rest of the sentence."""
    ends = [match.end() for match in _PHRASE.finditer(text)]
    if not ends:
        return None
    rest = _PROMISE.sub("", text[ends[-1] : ends[-1] + _PHRASE_LENGTH])
    parts: list[str] = []
    at = 0
    while match := _MATH.match(rest, at):
        parts.append(next(group for group in match.groups() if group is not None).strip())
        joined = _JOIN.match(rest, match.end())
        if not joined:
            break
        at = joined.end()
    if parts:
        return ", ".join(parts) or None
    line = rest.partition("\n")[0]
    if end := _SENTENCE_END.search(line):
        line = line[: end.start()]
    return line.strip(" \t*_`.,;:") or None


def _unbraced(text: str, start: int) -> str:
    line = text[start : start + _PHRASE_LENGTH].partition("\n")[0]
    if formula := _UNBRACED_IN_MATH.match(line):
        return formula[1]
    word = _UNBRACED.match(line)
    return word[0].rstrip(".,;:") if word else ""
