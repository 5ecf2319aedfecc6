"""One strict reader for single values, however they were written: on a command line, in YAML, in JSON or in Python.

A number is a number in any spelling (``5``, ``5.0``, ``"5"``, ``"1e3"``, ``"inf"``), never a truth value; a truth value
is one of the words of YAML, or 0 or 1; text is text. Whatever else stands there is an error of one line.
"""

from __future__ import annotations

import re
from typing import Any

from lmx_files.errors import UserError

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)", re.IGNORECASE)
_EXACT = 2.0**53  # above it a float no longer says which whole number was meant


def is_none(value: Any) -> bool:
    """Whether a value stands for "not given": None, or the word as a command line has it."""
    return value is None or (isinstance(value, str) and value.strip().lower() == "none")


def read_bool(name: str, value: Any) -> bool:
    """Return a truth value.

    Raises:
        UserError: it is none of true/false, yes/no, on/off, 1/0.
    """
    word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise UserError(f"{name}={shown(value)} is not a true/false value: write true or false (or yes/no, on/off, 1/0)")


def read_int(name: str, value: Any, least: int | None = None) -> int:
    """Return a whole number, exactly.

    Args:
        least: the smallest that is allowed; None: any.

    Raises:
        UserError: it is no whole number (a truth value is none, nor is 10.5), or it is too small.
    """
    number = _whole(value)
    if number is None:
        raise UserError(f"{name}={shown(value)} is not a whole number")
    if least is not None and number < least:
        raise UserError(f"{name}={shown(value)} must be a whole number of at least {least}")
    return number


def read_float(name: str, value: Any) -> float:
    """Return a number; infinity is one, NaN and truth values are not.

    Raises:
        UserError: it is no number.
    """
    try:
        number = float(value) if _is_number(value) else float("nan")
    except OverflowError:
        number = float("nan")
    if number != number:
        raise UserError(f"{name}={shown(value)} is not a number")
    return number


def read_text(name: str, value: Any) -> str:
    """Return text. Numbers are taken as they are written; lists and mappings are no text.

    Raises:
        UserError: it is no text.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise UserError(f"{name}={shown(value)} is not text")


def read_texts(name: str, value: Any) -> list[str]:
    """Return a list of texts; one text stands for a list of one, None for none.

    A number is refused here: a command line makes one of ``5``, and no longer knows how it was spelt.

    Raises:
        UserError: an entry is no text.
    """
    entries = list(value) if isinstance(value, list | tuple) else [] if is_none(value) else [value]
    for entry in entries:
        if not isinstance(entry, str):
            raise UserError(
                f"{name}={shown(value)}: {shown(entry)} is not text: write a text or a list of texts, a number in "
                f"quotes ({name}=\"'5'\" on a command line)"
            )
    return entries


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value) if len(value) < 4000 else None  # Python's own limit on digits
    if not _is_number(value):
        return None
    if isinstance(value, int):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) <= _EXACT else None


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the numbers of a list such as ``0,3`` or a range such as ``0-11``, none twice, in the given order.

    Raises:
        UserError: it is neither, a range is reversed, or it goes beyond 99,999. Only an empty text means none.
    """
    found: list[int] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
        if match is None:
            raise UserError(f"{option} {text!r}: give numbers with commas or a range, e.g. 0,3 or 0-11")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f"{option} {text!r}: the range {part} has nothing in it: write {last}-{first}")
        found += range(first, last + 1)
    if text.strip() and not found:
        raise UserError(f"{option} {text!r}: no number is named: give some with commas or a range, e.g. 0,3 or 0-11")
    return tuple(dict.fromkeys(found))
