"""Reads files out of a folder, a tar or a zip archive that somebody else made, without unpacking it.

Nothing is written, so no member can land outside a folder; an archive that tries is refused all the same, as are links,
devices, and archives that grow without measure. Every archive is read to its end: one that breaks off is told.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from lmx_files.errors import UserError
from lmx_files.opening import read_bytes
from lmx_files.reading import open_following_links, reason

LARGEST = 512 << 20
"""Bytes of one member that are read."""
MOST_GROWTH = 200
"""Times that an archive of text may grow when unpacked; text of tasks grows about ten times."""
_SMALL = 64 << 20  # bytes that any archive may unpack to
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile, OSError)

Wanted = Callable[[str], Any]


def members(source: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a folder or an archive for whose names (with ``/``) `wanted` holds, with their contents.

    Raises:
        UserError: there is no such source or it cannot be read; an archive that is cut off, that has a member whose
            name leaves the folder, a link, a device, two members of a name, or that grows over `MOST_GROWTH` times.
    """
    if source.is_dir():
        yield from _in_folder(source, wanted)
        return
    with open_following_links(source) as file:
        start = file.read(6)
        file.seek(0)
        try:
            if start.startswith(b"PK"):
                yield from _in_zip(source, file, wanted)
            else:
                yield from _in_tar(source, file, start, wanted)
        except RuntimeError as error:  # zipfile's, of a member that is encrypted
            raise UserError(f"cannot read {source}: {error}") from error
        except _BROKEN as error:
            raise UserError(
                f"cannot read {source}: not a whole tar or zip archive ({reason(error)}). Was the download cut off? "
                "Fetch it again"
            ) from error


def _in_folder(folder: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if wanted(relative):
                try:
                    yield relative, read_bytes(path, LARGEST)
                except OSError as error:
                    raise UserError(f"cannot read {path}: {reason(error)}") from error


def _in_tar(source: Path, file: IO[bytes], start: bytes, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    plain = _Metered(_unpacked(file, start), source, os.fstat(file.fileno()).st_size)
    seen: set[str] = set()
    with tarfile.open(fileobj=plain, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            _check_name(source, member.name)
            if not (member.isfile() or member.isdir()):
                kind = "a link" if member.islnk() or member.issym() else "a device"
                raise UserError(
                    f"{source}: member {member.name!r} is {kind}, which is not followed: pack the file itself"
                )
            if not member.isfile() or not wanted(member.name):
                continue
            _check_member(source, member.name, member.size, seen)
            content = archive.extractfile(member)
            yield member.name, content.read() if content else b""
    plain.drain()
    if any(plain.tail):
        raise tarfile.ReadError("its end is missing")


def _in_zip(source: Path, file: IO[bytes], wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    size = os.fstat(file.fileno()).st_size
    seen: set[str] = set()
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        for info in infos:
            _check_name(source, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UserError(
                    f"{source}: member {info.filename!r} is a link, which is not followed: pack the file itself"
                )
        _check_growth(source, sum(info.file_size for info in infos), size)
        for info in infos:
            if info.is_dir() or not wanted(info.filename):
                continue
            _check_member(source, info.filename, info.file_size, seen)
            with archive.open(info) as member:
                yield info.filename, member.read()


class _Metered:
    """A stream that counts what it gives, and keeps its last block: an archive ends with an empty one."""

    def __init__(self, stream: IO[bytes], source: Path, size: int) -> None:
        self._stream, self._source, self._size = stream, source, size
        self._given = 0
        self.tail = b"\0"

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._given += len(content)
        if content:
            self.tail = content[-tarfile.BLOCKSIZE :]
        _check_growth(self._source, self._given, self._size)
        return content

    def drain(self) -> None:
        """Read on to the end, where a compressed stream is checked."""
        while self.read(1 << 20):
            pass


def _unpacked(file: IO[bytes], start: bytes) -> Any:
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(file)
    if start.startswith(b"BZh"):
        return bz2.open(file)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.open(file)
    return file


def _check_name(source: Path, name: str) -> None:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or re.match("[A-Za-z]:", name):
        raise UserError(f"{source}: member {name[:80]!r} leaves the folder that the archive is unpacked in: refused")


def _check_member(source: Path, name: str, size: int, seen: set[str]) -> None:
    if name in seen:
        raise UserError(f"{source}: two members are called {name!r}: keep one of them")
    seen.add(name)
    if size > LARGEST:
        raise UserError(f"{source}: member {name!r} has {size:,} bytes, more than the {LARGEST:,} of any task: refused")


def _check_growth(source: Path, unpacked: int, packed: int) -> None:
    if unpacked > max(_SMALL, MOST_GROWTH * packed):
        raise UserError(
            f"{source}: it unpacks to more than {MOST_GROWTH} times its {packed:,} bytes, which no text does: refused"
        )
