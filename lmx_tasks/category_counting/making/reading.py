"""What a language model proposes, read from whatever form it was written in."""

from __future__ import annotations

import json
import re
from typing import Any

THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
FENCE = re.compile(r"^\s*```.*$", re.MULTILINE)
MARKER = re.compile(r"^\s*(?:[-*•–+]|\(?\d{1,3}[.):]|[a-zA-Z][.)])\s+")
INTRODUCTION = re.compile(
    r"^\s*(?:sure|here (?:are|is)|certainly|of course|okay|ok|the following|below)\b", re.IGNORECASE
)
LONGEST_NAME = 3
"""Words of a category's name."""
NAME = re.compile(r"[a-z][a-z -]*[a-z]")
KIND_OF = re.compile(r"^(?:(?:types?|kinds?|names?) of|different|common|various)\s+")


def entries(raw: str) -> list[str]:
    """Return the entries of a list in any form: lines, bullets, numbers, commas, JSON; in lower case, without marks.

    Reasoning, code fences, introductions ("Here are ...:"), bold marks and explanations after an entry are left out.
    """
    text = FENCE.sub("", THINKING.sub("", raw)).strip()
    if (listed := _json(text)) is not None:
        return [_bare(entry) for entry in listed if _bare(entry)]
    found: list[str] = []
    for line in text.splitlines():
        if not line.strip() or INTRODUCTION.match(line):
            continue
        entry = MARKER.sub("", line)
        head, colon, rest = entry.partition(":")
        if colon and not rest.strip():
            continue  # a heading
        parts = re.split(r"[,;]", rest if colon and "," in rest else head)
        found += [_bare(part) for part in parts]
    return [entry for entry in found if entry]


def names(raw: str) -> list[str]:
    """Return the categories that a model named: one to three words each, in lower case, none twice."""
    found = [KIND_OF.sub("", entry) for entry in entries(raw)]
    return list(dict.fromkeys(e for e in found if NAME.fullmatch(e) and len(e.split()) <= LONGEST_NAME))


def _bare(entry: str) -> str:
    """Return an entry without marks, numbers, quotation marks and what explains it."""
    entry = re.split(r"\s+[-–—]\s+|\s*\(|\s*=", MARKER.sub("", entry.strip()), maxsplit=1)[0]
    bare = entry.strip(" \t*_`'\"“”‘’.!?#[]").lower()
    return re.sub(r"^(?:and\s+)?(?:(?:an?|the)\s+)?", "", bare)


def _json(text: str) -> list[str] | None:
    begin, end = text.find("["), text.rfind("]")
    if not 0 <= begin < end:
        return None
    try:
        value: Any = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None
