"""Writes files whole or not at all: a reader finds the old file or the new one, and nothing between.

A draft lies beside its place, under a name that cannot be known beforehand, and takes the place when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lmx_files.errors import UserError
from lmx_files.reading import LONGEST_NAME, is_plain_name, reason

ANYBODY, OWNER = 0o666, 0o600
SHORT = 40
"""Characters of a file's name that its draft bears, so that a long name leaves room for the rest."""


@contextlib.contextmanager
def replacing(path: Path, binary: bool = False, sync: bool = False, mode: int = ANYBODY) -> Iterator[IO[Any]]:
    """Yield a file whose content takes the place of `path` at the end, and is thrown away if the block raises.

    Half a surrogate pair, which no encoding has, is written as its escape; inside JSON that is the same text.

    Args:
        sync: the content is on the disk before it takes its place, so that a machine that stops leaves no empty file.
        mode: who may read and write it, less the umask; `OWNER` for what only the owner may see.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    draft, descriptor = _create_beside(path, mode)
    try:
        kind: dict[str, Any] = {} if binary else {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
        with os.fdopen(descriptor, "wb" if binary else "w", **kind) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write(path: Path, content: str | bytes, sync: bool = False, mode: int = ANYBODY) -> None:
    """Write a whole file; see `replacing`."""
    with replacing(path, isinstance(content, bytes), sync, mode) as file:
        file.write(content)


def write_files(folder: Path, files: Mapping[str, str | bytes], option: str = "-o") -> None:
    """Write files into a folder: all are written beside their places first, then renamed in the given order.

    Args:
        option: names the folder on the command line, for the message.

    Raises:
        UserError: the folder or a file cannot be written; then no file has changed.
    """
    drafts: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if not is_plain_name(name) or len(os.fsencode(name)) > LONGEST_NAME or (folder / name).is_dir():
                raise UserError(f"{name[:80]!r} can be no file in {folder}: choose another folder with {option}")
            draft, descriptor = _create_beside(folder / name)
            drafts.append((draft, folder / name))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
        for draft, place in drafts:
            os.replace(draft, place)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write into {folder}: {reason(error)}. Choose another folder with {option}") from error
    finally:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)


def _create_beside(path: Path, mode: int = ANYBODY) -> tuple[Path, int]:
    """Create an empty file in the folder of `path`, never one that is there."""
    while True:
        draft = path.with_name(f".{path.name[:SHORT]}.{secrets.token_hex(4)}.part")
        with contextlib.suppress(FileExistsError):
            return draft, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
