"""The counts of the parts of a list, and the total: "2 | 0 | 1 = 3"; and how many words a list has.

A row of numbers is one that gives as many as there are parts. A total is only what is said to be one, never the sum
that a reader could work out. Where rows or totals differ, they are *unparsed*.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lmx_metrics.count_answer import after_corrections, parse_count, until_next_question
from lmx_metrics.count_numbers import NUMBER_WORDS, SIZE_NOUN
from lmx_metrics.text import normalise_newlines, split_reasoning

_WORDS = "|".join(sorted((word for word in NUMBER_WORDS if " " not in word), key=len, reverse=True))
_N = rf"(?:(?<![\w.,/-])\d{{1,4}}(?![\w%/])(?![.,]\d)|\b(?:{_WORDS})\b)"
_BETWEEN = r"[ \t]*(?:\||\+|,|;)[ \t]*"
_TOTAL = rf"[ \t]*(?:=|->|=>|→)[ \t]*(?P<total>{_N})"
_ROW = re.compile(rf"(?P<row>{_N}(?:{_BETWEEN}{_N})+)(?P<ends>[ \t]*\|)?(?:{_TOTAL})?")
_ROW_OF_ONE = re.compile(rf"(?P<row>{_N}(?:{_BETWEEN}{_N})*)(?P<ends>[ \t]*\|)?{_TOTAL}")
"""Where a list is one part: only the total behind it tells that a number is a row."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_LABELLED = re.compile(
    rf"\b(?:(?:part|group|section|segment)\s*#?(?P<number>\d{{1,2}})|(?P<ordinal>{'|'.join(_ORDINALS)})"
    rf"\s+(?:part|group|section|segment))\b(?:\s+(?:has|contains|is))?\s*[:=–—-]?\s*(?P<count>{_N}|none\b)"
    r"(?![ \t]*(?:or|to|-|–)[ \t]*\d)",
    re.IGNORECASE,
)
_OF_A_PART = re.compile(rf"\b(?:part\s*\d|(?:{'|'.join(_ORDINALS)})\s+part)[^\n.]*", re.IGNORECASE)
_MARKUP = re.compile(r"[*`_~#$]+|^>+|\\[()\[\]]", re.MULTILINE)
_LIST_OF = re.compile(
    r"\b(?:list|set|total|group|collection|sequence)\s+of\s+(?=\w+\s+" + SIZE_NOUN + ")", re.IGNORECASE
)
_OF_THE_LIST = re.compile(r"\b(?:in|on)\s+(?:the|this|your)\s+(?:given\s+)?list\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parts:
    """What an answer gives: the counts of all parts, None where it does not give each once, and the total or None."""

    counts: tuple[int, ...] | None
    total: int | None


def parse_parts(text: str, parts: int, category: str = "", length: int | None = None) -> Parts:
    """Return the counts and the total that an answer about a list of `parts` parts gives.

    >>> parse_parts("2 | 0 | 1 = 3", 3)
    Parts(counts=(2, 0, 1), total=3)
    >>> parse_parts("Part 1: 2, part 2: 0. Total: 2", 2), parse_parts("3", 2)
    (Parts(counts=(2, 0), total=2), Parts(counts=None, total=3))
    """
    answer = split_reasoning(normalise_newlines(text), "\0")[0].strip()
    answer = after_corrections(_MARKUP.sub("", until_next_question(answer)))
    answer = re.sub(r"\\boxed\s*\{([^{}]*)\}", r"\1", answer)
    rows, totals, rest = _rows(answer, parts)
    labelled, rest = _labelled(rest, parts)
    found = {*rows, *labelled}
    said = parse_count(rest, category, length) if rest.strip() else None
    if said is not None:
        totals.add(said)
    return Parts(found.pop() if len(found) == 1 else None, totals.pop() if len(totals) == 1 else None)


def _rows(answer: str, parts: int) -> tuple[set[tuple[int, ...]], set[int], str]:
    """Return rows of the right number of counts, the totals behind them, and the text without both."""
    rows: set[tuple[int, ...]] = set()
    totals: set[int] = set()
    rest, at = [], 0
    for match in (_ROW if parts > 1 else _ROW_OF_ONE).finditer(answer):
        numbers = tuple(_value(number) for number in re.findall(_N, match["row"], re.IGNORECASE))
        if len(numbers) == parts + 1 and "|" in match["row"] and not match["total"]:
            continue  # one more than there are parts: the total, or a part too many; nobody can tell
        if len(numbers) != parts or (re.search("[,;]", match["row"]) and not _stands_alone(answer, match)):
            continue
        rows.add(numbers)
        if match["total"]:
            totals.add(_value(match["total"]))
        rest.append(answer[at : match.start()])
        at = match.end()
    return rows, totals, "\n".join([*rest, answer[at:]])


def _stands_alone(answer: str, match: re.Match[str]) -> bool:
    """Whether a row with commas is a line of its own or follows a colon: "words 1, 3, 5" is no row of counts."""
    before = answer[: match.start()].split("\n")[-1].strip()
    behind = answer[match.end() :].split("\n")[0].strip()
    return (not before or before[-1] in ":=") and (
        not behind or behind[0] in ".;" or behind.lower().startswith("total")
    )


def _labelled(answer: str, parts: int) -> tuple[set[tuple[int, ...]], str]:
    found: dict[int, set[int]] = {}
    for match in _LABELLED.finditer(answer):
        place = int(match["number"]) if match["number"] else _ORDINALS.index(match["ordinal"].lower()) + 1
        found.setdefault(place, set()).add(_value(match["count"]))
    if not found:
        return set(), answer
    rest = re.sub(r"(?m)^\W+|[ \t]+,", " ", _LABELLED.sub(" ", answer))
    if sorted(found) != list(range(1, parts + 1)) or any(len(values) > 1 for values in found.values()):
        return set(), _OF_A_PART.sub(" ", rest)
    return {tuple(next(iter(found[place])) for place in sorted(found))}, rest


def _value(number: str) -> int:
    return int(number) if number.isdecimal() else NUMBER_WORDS.get(number.lower(), 0)  # "none"


def parse_length(text: str) -> int | None:
    """Return the number that an answer to "How many words are in this list?" gives, or None; see `parse_count`.

    There the length of the list is no answer; here it is the answer, so the words are called by another name first.

    >>> parse_length("There are 7 words in the list."), parse_length("1. apple\\n2. pear"), parse_length("7 or 8")
    (7, None, None)
    """
    answer = split_reasoning(normalise_newlines(text), "\0")[0].strip()
    answer = _OF_THE_LIST.sub(" ", _LIST_OF.sub("", until_next_question(answer)))
    answer = re.sub(
        rf"\b{SIZE_NOUN}\b", lambda match: "marbles" if match[0].lower().endswith("s") else "marble", answer, flags=re.I
    )
    answer = re.sub(
        r"\b(?:the|these|those|all|all the|all of the)\s+(?=\w+\s+marbles?\b)", "", answer, flags=re.IGNORECASE
    )
    return parse_count(answer, "marbles")
