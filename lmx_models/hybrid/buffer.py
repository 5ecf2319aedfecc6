"""The file between two environments: what the stages before a cut wrote, checked line by line when it is read.

JSON lines: a header (schema, cut, the stages' definitions, seed), one line a text, and a last line that says that the
file is complete. Each carries the SHA-256 of its own content, and the last one that of all lines before it. The file
appears whole or not at all; what survives a crash in between is the journal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text

SCHEMA = 1
NAMED = 8  # lines named in one message
REMAKE = "make it again with stage=make"
Key = tuple[str, int, int, int]  # task, document, request of the document, repeat


@dataclass(frozen=True)
class Buffer:
    """A buffer that was read and found whole. `texts`: number of the line and its content, by key."""

    path: Path
    header: Mapping[str, Any]
    texts: Mapping[Key, tuple[int, Mapping[str, Any]]]
    sha256: str

    @property
    def cut(self) -> str:
        """The node whose text was the last to be written."""
        return str(self.header["cut"])


def key_of_line(line: Mapping[str, Any]) -> Key:
    """Return what a line is the text of."""
    return str(line["task"]), int(line["doc_id"]), int(line["idx"]), int(line["repeat"])


def write_buffer(path: Path, header: Mapping[str, Any], texts: Iterable[Mapping[str, Any]]) -> None:
    """Write a buffer, sorted by key; it is complete and on disk when this returns, or not there.

    Args:
        texts: each with the fields of a key, ``prompt_hash`` and ``stages`` (records of finished stages).
    """
    lines = [_sealed({"schema": SCHEMA, **header}), *(_sealed(text) for text in sorted(texts, key=key_of_line))]
    lines.append(_sealed({"complete": len(lines), "lines_sha256": sha256_of_text("".join(lines))}))
    try:
        atomic.write(path, "".join(lines), sync=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def check_writable(path: Path, header: Mapping[str, Any]) -> None:
    """Raise a `UserError` if no buffer can be written to `path`, or another one lies there; before the run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error
    if path.exists():
        there = read_buffer(path).header
        changed = differences({name: there.get(name) for name in header}, header)
        if changed:
            raise UserError(f"buffer={path} is there already, and {changed[0]}: name another file, or delete it")


def read_buffer(path: Path) -> Buffer:
    """Read a buffer and check that it is whole.

    Raises:
        UserError: it is not there, or a line is damaged, twice there or missing; the lines are named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read buffer={path} ({error}): {REMAKE}") from error
    read = [_opened(line) for line in lines]
    damaged = [number for number, content in enumerate(read, 1) if content is None]
    if damaged:
        raise UserError(f"buffer={path}: {named(damaged)} damaged (the checksum does not fit): {REMAKE}")
    last = read[-1] if read else None
    if last is None or "complete" not in last:
        raise UserError(f"buffer={path} ends at line {len(lines)} without saying that it is complete: {REMAKE}")
    header, texts = read[0] or {}, [content or {} for content in read[1:-1]]
    if header.get("schema") != SCHEMA:
        raise UserError(f"buffer={path}, line 1: schema {header.get('schema')}, but this lmx reads {SCHEMA}: {REMAKE}")
    if last["complete"] != len(lines) - 1 or last["lines_sha256"] != sha256_of_text("".join(lines[:-1])):
        raise UserError(
            f"buffer={path}, line {len(lines)}: says that {last['complete']} lines stand before it, unchanged; there "
            f"are {len(lines) - 1}, and lines were added, left out or moved: {REMAKE}"
        )
    by_key = {key_of_line(text): (number, text) for number, text in enumerate(texts, 2)}
    if len(by_key) < len(texts):
        twice = [n for n, text in enumerate(texts, 2) if by_key[key_of_line(text)][0] != n]
        raise UserError(f"buffer={path}: {named(twice)} of a text that stands there again: {REMAKE}")
    return Buffer(path, header, by_key, str(last["lines_sha256"]))


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return, in words, where two JSON-serialisable values differ."""
    old, new = (json.loads(json.dumps(value)) for value in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            found
            for name in {**old, **new}
            for found in differences(old.get(name), new.get(name), f"{where}.{name}" if where else name)
        ]
    return [] if old == new else [f"{where} was {old!r} and is {new!r}"]


def named(numbers: Sequence[int]) -> str:
    """Return line numbers in words."""
    shown = ", ".join(map(str, numbers[:NAMED]))
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"


def _sealed(content: Mapping[str, Any]) -> str:
    text = _canonical(content)
    return f'{{"sha256":"{sha256_of_text(text)}","content":{text}}}\n'


def _opened(line: str) -> dict[str, Any] | None:
    """Return the content of a line, or None if it is damaged."""
    try:
        whole = json.loads(line)
        content = whole["content"]
        good = (
            isinstance(content, dict) and whole["sha256"] == sha256_of_text(_canonical(content)) and line.endswith("\n")
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return content if good else None


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write buffer={path} ({error.strerror}): name a file in a writable folder")
