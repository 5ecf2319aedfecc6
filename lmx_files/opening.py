"""Opening files in folders that somebody else may have filled: no links, regular files only, and never a wait.

A folder of results may come from anywhere. A name in it may be a symbolic link to a file of the user's, or a FIFO that
nobody writes to. Files that are appended to are cut only where a line of ours was left unfinished.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lmx_files.errors import UserError

# A line that is longer was not written by lmx, and is not looked at.
LONGEST_LINE = 1 << 30
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_MEND = "Name another file, or move that one away"


def open_regular(path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Return a descriptor of a regular file.

    Raises:
        UserError: a symbolic link, a FIFO, a device or a folder bears this name. OSError: as for `os.open`.
    """
    try:
        descriptor = os.open(path, flags | _SAFE, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and os.path.islink(path):
            raise UserError(f"{path} is a symbolic link, which is not followed. {_MEND}") from error
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP, errno.EISDIR):
            raise UserError(f"{path} is no regular file. {_MEND}") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is no regular file. {_MEND}")
    return descriptor


def open_to_read(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading; raises as `open_regular` does."""
    return os.fdopen(open_regular(path), "rb")


def read_bytes(path: str | Path, most: int = 1 << 28) -> bytes:
    """Return the content of a regular file.

    Raises:
        UserError: it is not regular, or larger than `most` bytes. OSError: it cannot be read.
    """
    with open_to_read(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"{path} holds more than {most:,} bytes, which is not what lmx writes there. {_MEND}")
    return content


def open_log(path: str | Path, mode: int = 0o600) -> IO[bytes]:
    """Open a log for appending, made for its owner alone; raises as `open_regular` does."""
    return os.fdopen(open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode), "ab", buffering=0)


def open_after_last_line(
    path: str | Path, is_ours: Callable[[bytes], bool], began: Callable[[bytes], bool], what: str
) -> int:
    """Open a file of lines for appending, without the line that a killed process may have left unfinished.

    Args:
        is_ours: whether a whole line is one of ours; asked of the first, and of the last before an unfinished one.
        began: whether an unfinished line was surely begun by us; after one of ours its first byte is too, and zeros,
            which a file system may leave when the power fails.
        what: the kind of file, for messages.

    Raises:
        UserError: something else than `what` bears this name; nothing has been changed then.
    """
    descriptor = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(descriptor).st_size
        first, last, end = _lines(descriptor)
        torn = os.pread(descriptor, min(size - end, 4096), end)
        rest = bool(last) and (not torn.strip(b"\0") or torn == last[:1])
        if (
            (first and not is_ours(first))
            or (torn and last and not is_ours(last))
            or (torn and not (began(torn) or rest))
        ):
            raise UserError(f"{path} holds something else than {what}, and is left as it is. {_MEND}")
        if torn:
            os.ftruncate(descriptor, end)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lines(descriptor: int) -> tuple[bytes, bytes, int]:
    """Return the first and the last whole line, and where the whole lines end (bytes)."""
    first = last = b""
    end = 0
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        while line := file.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                break
            first, last, end = first or line, line, end + len(line)
    return first, last, end


def lock_file(path: str | Path) -> Any:
    """Return a `filelock.FileLock` at `path`, which such a lock empties: only an empty regular file may lie there.

    Raises:
        UserError: something else bears this name.
    """
    from filelock import FileLock

    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return FileLock(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size > 0:
        raise UserError(f"{path} is no lock of lmx's, which are empty files. Move it away")
    return FileLock(path)
