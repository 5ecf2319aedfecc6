"""The journal: every finished request in an append-only file, so that a run that dies goes on where it was.

A line is ``{"sha256": ..., "key": ..., "value": ...}``; the checksum covers key and value. Any number of processes may
share a folder: each appends to a file of its own, held by a lock, and reads all of them when it starts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lmx_files import opening
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_bytes, sha256_of_text

log = logging.getLogger(__name__)

LONGEST = 1 << 26
"""Bytes of a line, which holds one text with its trace."""

# A header describes what the keys after it were made from, for people and for the message that says what differs.
HEADER = b'{"header":'
BEGINNING = b'{"sha256":"'
LINE = re.compile(rb'\{"sha256":"([0-9a-f]{64})","key":"([0-9a-f]{64})","value":(.*)\}\n', re.DOTALL)


def key_of(what: Any) -> str:
    """Return the key of a description: the SHA-256 of its canonical JSON."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), default=str)
    return sha256_of_text(text)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a line lies; values stay on disk, for they may be more than fits in memory."""

    file: Path
    offset: int
    length: int


class Journal(Mapping[str, Any]):
    """What was finished before (a mapping from key to value), and where to add to it.

    What other processes add after this one started is not seen.

    Args:
        folder: made if need be.
        shared: other processes in the folder are nothing to speak of (the ranks of one run).

    Attributes:
        headers: the descriptions in it, by key, in the order of files and lines.

    Raises:
        UserError: the folder cannot be read or written, something in it is no journal although it bears the name of
            one, or a line is damaged that is not the last of its file. Nothing has been changed then.
    """

    def __init__(self, folder: str | Path, shared: bool = False) -> None:
        self.folder = Path(folder)
        self.headers: dict[str, Any] = {}
        self._places: dict[str, _Place] = {}
        self._file: int | None = None
        with _explained(self.folder, "open"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock, self.path = self._claim(shared)
            try:
                for path in sorted(self.folder.glob("journal-*.jsonl")):
                    end = self._read(path)
                    if path == self.path:
                        self._open(end)
            except BaseException:
                self.close()
                raise

    def __getitem__(self, key: str) -> Any:
        place = self._places[key]
        with _explained(self.folder, "read"), opening.open_to_read(place.file) as file:
            file.seek(place.offset)
            return _value(self._parsed(file.read(place.length), place.file, "")[1], place.file)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, key: str, value: Any) -> None:
        """Append one finished request. It survives the death of the process now, that of the machine after `sync`."""
        text = json.dumps(value, separators=(",", ":")).encode()
        checksum = sha256_of_bytes(key.encode() + text)
        line = b'{"sha256":"%s","key":"%s","value":%s}\n' % (checksum.encode(), key.encode(), text)
        assert self._file is not None
        with _explained(self.folder, "write"):
            offset = os.lseek(self._file, 0, os.SEEK_END)
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, offset)
                raise
        self._places[key] = _Place(self.path, offset, len(line))

    def add_header(self, description: Any) -> str:
        """Return the key of a description, and keep it if it is new."""
        key = key_of(description)
        if key not in self.headers:
            self.add(key, {"header": description})
            del self._places[key]
            self.headers[key] = description
        return key

    def sync(self) -> None:
        """Return when all that was added is on disk."""
        assert self._file is not None
        with _explained(self.folder, "write"):
            os.fsync(self._file)

    def close(self) -> None:
        """Let another process append to this one's file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._lock.release()

    def _claim(self, shared: bool) -> tuple[FileLock, Path]:
        """Take the first file that no living process appends to."""
        number = 1
        while True:
            path = self.folder / f"journal-{number:04}.jsonl"
            lock = opening.lock_file(f"{path}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                number += 1
                continue
            if number > 1 and not shared:
                log.warning("another process writes to the journal %s: this one takes %s", self.folder, path.name)
            os.close(opening.open_regular(path, os.O_WRONLY | os.O_CREAT))
            return lock, path

    def _open(self, end: int) -> None:
        """Open this process's file for appending, without the torn line that a killed process may have left."""
        self._file = opening.open_regular(self.path, os.O_RDWR | os.O_APPEND)
        if os.fstat(self._file).st_size > end:
            os.ftruncate(self._file, end)

    def _read(self, path: Path) -> int:
        """Take in the lines of a file; return the length of its whole lines."""
        offset = 0
        with opening.open_to_read(path) as file:
            size = os.fstat(file.fileno()).st_size
            for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), 1):
                if len(line) > LONGEST:  # a sparse file takes no room on the disk, and all of the memory
                    raise UserError(
                        f"{path}, line {number}: longer than {LONGEST:,} bytes, which no line of lmx's is. Move it away"
                    )
                try:
                    key, value = self._parsed(line, path, f", line {number}")
                except UserError:
                    if offset + len(line) < size:
                        raise
                    if path == self.path and not _torn(line):
                        raise UserError(
                            f"{path}{f', line {number}' if offset else ''} is no line of a journal, and is left as it "
                            "is. Move the file away, or name another folder (LMX_JOURNAL, or lmx run --journal)"
                        ) from None
                    # Writers append: only the last line can be torn. In another process's file it is being written.
                    if path == self.path:
                        log.warning("%s, line %d: left out, it was cut off by a crash", path, number)
                    break
                if value.startswith(HEADER):
                    self.headers[key] = _value(value, path)["header"]
                else:
                    self._places[key] = _Place(path, offset, len(line))
                offset += len(line)
        return offset

    def _parsed(self, line: bytes, path: Path, where: str) -> tuple[str, bytes]:
        match = LINE.fullmatch(line)
        if match is None or sha256_of_bytes(match[2] + match[3]).encode() != match[1]:
            raise UserError(
                f"{path}{where}: a damaged line (its checksum does not fit). Restore the file, or delete that line "
                "and its text is written again"
            )
        return match[2].decode(), match[3]


def _torn(line: bytes) -> bool:
    """Whether a damaged last line was begun by us; a machine that stopped may have left zeros in place of its bytes."""
    return line.startswith((BEGINNING, b"\0")) or (len(line) > 1 and BEGINNING.startswith(line))


def _value(text: bytes, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: a line holds what lmx does not write. Restore the file, or move it away") from error


@contextlib.contextmanager
def _explained(folder: Path, what: str) -> Iterator[None]:
    """Turn what the disk refuses into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot {what} the journal {folder}: {error.strerror or error}. What was finished before is kept: make "
            "room or name another folder (LMX_JOURNAL, or lmx run --journal), and run again"
        ) from error
