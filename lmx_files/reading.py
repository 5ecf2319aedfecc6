"""Opens files of runs for reading: regular files only, so that a pipe or a device in a results folder hangs nobody."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lmx_files.errors import UserError

LONGEST_NAME = 255
"""Bytes of a file's name on common file systems."""


def open_following_links(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes, or the one that a link leads to (`opening.open_regular` follows none).

    Raises:
        UserError: it is not there, may not be read, or is a folder, a pipe, a socket or a device.
    """
    try:
        # without O_NONBLOCK, opening a pipe that nobody writes to never returns
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"cannot read {path}: it is not a regular file")
    return os.fdopen(descriptor, "rb")


def lines(path: Path, most: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a file, of an archive if it is called `.gz`.

    Args:
        most: bytes that are read after unpacking; None: all.

    Raises:
        UserError: it cannot be read or is larger, or the archive breaks off or is none; it names the line reached.
    """
    number = size = 0
    with open_following_links(path) as raw:
        try:
            for number, line in enumerate(gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw, start=1):
                size += len(line)
                if most is not None and size > most:
                    raise UserError(f"{path} has more than {most >> 20} MiB: is it the right file?")
                yield number, line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{path}, line {number + 1}: not a whole gzip file ({error}). Was it cut off?") from error
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason(error)}") from error


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, or a link to one; a path that no file can have is none."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def inside(path: Path, folder: Path) -> Path:
    """Return a path after checking that it is in a folder, links followed.

    Raises:
        UserError: its name or a link leads out of the folder.
    """
    try:
        place = path.resolve()
        good = place.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    if not good:
        raise UserError(f"{path} leads out of its folder: copy the file there, or give the run from where it was made")
    return path


def is_plain_name(name: str) -> bool:
    """Whether a name is that of a file in a folder, and not a path that leads elsewhere."""
    return bool(name) and name not in (".", "..") and not any(sign in name for sign in "/\\\0")


def reason(error: Exception) -> str:
    """Return why a file could not be read or written, in a few words."""
    return getattr(error, "strerror", None) or str(error)
