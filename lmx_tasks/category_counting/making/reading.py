"""What a language model proposes, read from whatever form it was written in."""

from __future__ import annotations

import json
import re
from typing import Any

THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
FENCE = re.compile(r"^\s*```.*$", re.MULTILINE)
TAG = re.compile(r"</?(?:ul|ol|li|p|br|div|table|tr|td|th)\b[^<>]*>", re.IGNORECASE)
RULE = re.compile(r"[\s|:*_-]+")
"""A line of a table's or a page's, without letters."""
MARKER = re.compile(r"^\s*(?:[-*•–+]|\[\d{1,3}\]|\(?\d{1,3}[.):]|[a-zA-Z][.)])\s+")
AGREED = re.compile(r"^\s*(?:sure|certainly|of course|okay|ok|absolutely)\b\s*(?:thing\b)?[!.,:]*\s*", re.IGNORECASE)
INTRODUCTION = re.compile(r"^\s*(?:here (?:are|is)|the following|below|i hope|let me know)\b", re.IGNORECASE)
LONGEST_NAME = 3
"""Words of a category's name."""
NAME = re.compile(r"[a-z][a-z -]*[a-z]")
KIND_OF = re.compile(r"^(?:(?:types?|kinds?|names?) of|different|common|various)\s+")
AND_SO_ON = frozenset({"more", "etc", "so on", "others", "many more", "many others"})


def entries(raw: str) -> list[str]:
    """Return the entries of a list in any form: lines, bullets, numbers, commas, tables, JSON; in lower case, unmarked.

    Reasoning, code fences, headings, introductions ("Here are ...:"), bold marks and explanations after an entry are
    left out; and the last entry of JSON that was cut off, which may be half a word.
    """
    text = TAG.sub("\n", FENCE.sub("", THINKING.sub("", raw))).strip()
    listed = _json(text)
    if listed is None:
        listed = [part for line in _lines(text) for part in _parts(line)]
    return [bare for entry in listed if (bare := _bare(entry)) and bare not in AND_SO_ON]


def names(raw: str) -> list[str]:
    """Return the categories that a model named: one to three words each, in lower case, none twice."""
    found = [KIND_OF.sub("", entry) for entry in entries(raw)]
    return list(dict.fromkeys(e for e in found if NAME.fullmatch(e) and len(e.split()) <= LONGEST_NAME))


def _lines(text: str) -> list[str]:
    """Return the lines without the headings, unless there is nothing else; of a table the rows without its head."""
    found = [line for line in text.splitlines() if line.strip() and not RULE.fullmatch(line)]
    rules = [at for at, line in enumerate(text.splitlines()) if "|" in line and RULE.fullmatch(line)]
    heads = {text.splitlines()[at - 1] for at in rules if at}
    return [line for line in found if not line.lstrip().startswith("#") and line not in heads] or found


def _parts(line: str) -> list[str]:
    """Return the entries of a line: several between commas, none in an introduction or before a last colon."""
    if line.lstrip().startswith("|"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        return next(([cell] for cell in cells if re.search("[^\\W\\d]", cell)), [])
    line = AGREED.sub("", line)
    if INTRODUCTION.match(line) and not ("," in line and ":" in line):
        return []
    head, colon, rest = MARKER.sub("", line).partition(":")
    if colon and not rest.strip():
        return []
    return re.split(r"[,;]", rest if colon and "," in rest else head)


def _bare(entry: str) -> str:
    """Return an entry without marks, numbers, quotation marks and what explains it."""
    entry = re.split(r"\s+[-–—]\s+|\s*\(|\s*=", MARKER.sub("", entry.strip()), maxsplit=1)[0]
    bare = entry.strip(" \t*_`'\"“”‘’.!?#[]{}").lower()
    return re.sub(r"^(?:and\s+)?(?:(?:an?|the)\s+)?", "", bare)


def _json(text: str) -> list[str] | None:
    """Return the texts of a JSON list, of objects with one text each too; None where there is none."""
    begin, end = text.find("["), text.rfind("]")
    if begin < 0:
        return None
    if end < begin:
        return _cut_off(text[begin + 1 :])
    try:
        value: Any = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list):
        return None
    texts = [
        next((text for text in each.values() if isinstance(text, str)), None) if isinstance(each, dict) else each
        for each in value
    ]
    return [text for text in texts if isinstance(text, str)] if any(isinstance(t, str) for t in texts) else None


def _cut_off(text: str) -> list[str] | None:
    """Return the texts of a JSON list that does not end, but for the last, which has no closing mark."""
    return re.findall(r"\"((?:[^\"\\\n]|\\.)*)\"\s*(?=[,\]}])", text) if text.lstrip().startswith('"') else None
