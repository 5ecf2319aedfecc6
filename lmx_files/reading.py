"""Opens files of runs for reading: regular files only, so that a pipe or a device in a results folder hangs nobody."""

from __future__ import annotations

import os
import stat
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
