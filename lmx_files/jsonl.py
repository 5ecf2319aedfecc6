"""JSON and JSON lines, in and out. The reader knows a whole file from a torn one.

A file of JSON lines is whole when every line ends, the last one too, and is an object. Errors name file and line.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from lmx_files import atomic, opening
from lmx_files.errors import UserError
from lmx_files.reading import open_following_links, reason

Last = Literal["ends", "skip", "take"]
DEEPEST = 100
"""Levels of lists and objects in each other that are read; what lm_eval and lmx write has about ten."""


def parse(raw: bytes | str, where: str) -> Any:
    """Return the value of a JSON text, in which NaN and infinities may stand, as lm_eval writes them.

    Raises:
        UserError: it is no JSON, no UTF-8, nested deeper than `DEEPEST`, or has a number of thousands of digits.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(text)
    except RecursionError as error:
        raise UserError(f"{where} (nested more than {DEEPEST} deep)") from error
    except ValueError as error:
        why = "a number of thousands of digits" if "integer string conversion" in str(error) else str(error)
        raise UserError(f"{where} ({why})") from error
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        raise UserError(f"{where} (nested more than {DEEPEST} deep)")
    return value


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        UserError: the file cannot be read or holds something else.
    """
    with open_following_links(path) as file:
        try:
            raw = file.read()
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason(error)}") from error
    value = parse(raw, f"cannot read {path}: not JSON")
    if not isinstance(value, dict):
        raise UserError(f"cannot read {path}: not a JSON object")
    return value


def read(path: Path, what: str = "a file of JSON lines", last: Last = "ends") -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; see `numbered`."""
    return (value for _, value in numbered(path, what, last))


def numbered(
    path: Path, what: str = "a file of JSON lines", last: Last = "ends"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines with the numbers of their lines; empty ones are passed over.

    Args:
        what: the file's kind, for messages.
        last: what to do with a last line that does not end: ``ends``, an error, in a file that must be whole; ``skip``
            it in one that may still be written to; ``take`` it like any other in one that a person wrote.

    Raises:
        UserError: the file cannot be read, is torn, or a line is no object; it names the line.
    """
    with open_following_links(path) as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if number == 1 and last == "take":
                    line = line.removeprefix(b"\xef\xbb\xbf")  # which some editors begin a file with
                if not line.endswith(b"\n") and last != "take":
                    if last == "skip":
                        return
                    raise UserError(
                        f"{path}, line {number}: not a line of {what}: it does not end, so the file was cut off. "
                        "Restore the file, or run again"
                    )
                if line.isspace():
                    continue
                where = f"{path}, line {number}: not a line of {what}"
                value = parse(line, where)
                if not isinstance(value, dict):
                    raise UserError(f"{where} (a JSON object)")
                yield number, value
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason(error)}") from error


def count(path: Path, what: str = "a file of JSON lines") -> int:
    """Return the number of objects in a file after reading all of it; errors as for `read`."""
    return sum(1 for _ in read(path, what))


def line(value: Any) -> str:
    """Return a value as a line of JSON, its end included; NaN and infinities stay, as lm_eval has them."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def write(path: Path, values: Iterable[dict[str, Any]], option: str = "-o") -> int:
    """Write a file of JSON lines in one go and return their number; an older file stays until all is written.

    Raises:
        UserError: the file cannot be written.
    """
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as file:
            for value in values:
                file.write(strict(value) + "\n")
                written += 1
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason(error)}. Choose another file with {option}") from error
    return written


def strict(value: Any, **options: Any) -> str:
    """Return a value as JSON that every reader takes: NaN and infinities, which JSON does not know, are null.

    Args:
        options: of `json.dumps`; characters beyond ASCII stay as they are if nothing is said of them.
    """
    options = {"ensure_ascii": False, "allow_nan": False} | options
    try:
        return json.dumps(value, **options)
    except ValueError:
        return json.dumps(_finite(value), **options)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def without_surrogates(value: Any) -> Any:
    """Return a JSON value in which each half of a surrogate pair, which no terminal can print, is U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(each) for key, each in value.items()}
    return [without_surrogates(each) for each in value] if isinstance(value, list) else value


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        inner = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [each for values in inner for each in values if isinstance(each, (dict, list))]
    return bool(level)


class Appender:
    """Appends objects to a file of JSON lines, one at a time, each whole or not there.

    A line that an earlier, killed process left unfinished is cut off first; a disk that is full leaves none.

    Args:
        beginning: how each line begins, e.g. ``{"task": ``. holds: what else is in each; both tell ours from others.
        what: the file's kind, for messages.

    Raises:
        UserError: the file holds something else, and is left as it is. OSError: it cannot be opened.
    """

    def __init__(self, path: Path, beginning: str, what: str, holds: str = "") -> None:
        start, inside = beginning.encode(), holds.encode()
        descriptor = opening.open_after_last_line(
            path,
            lambda whole: whole.startswith(start) and inside in whole,
            lambda torn: torn.startswith(start) or (len(torn) > 1 and start.startswith(torn)),
            what,
        )
        self._file = os.fdopen(descriptor, "ab", buffering=0)

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, value: Any, sync: bool = True) -> None:
        """Append one object, on the disk when this returns if `sync`; raises `OSError`, and then nothing is appended.

        Half a surrogate pair, which UTF-8 does not have, is written as its escape, which is the same in JSON.
        """
        text = line(value).encode("utf-8", "backslashreplace")
        offset = self._file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(text):
                written += self._file.write(text[written:])
        except OSError:
            self._file.truncate(offset)
            raise
        if sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
