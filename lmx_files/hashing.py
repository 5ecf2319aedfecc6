"""Hashes of files and texts: SHA-256, in hexadecimal digits."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lmx_files.errors import UserError
from lmx_files.reading import open_following_links, reason


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_following_links(path) as file:
        try:
            while block := file.read(1 << 20):
                digest.update(block)
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason(error)}") from error
    return digest.hexdigest()


def sha256_of_bytes(raw: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(raw).hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8; half a surrogate pair counts as its three bytes."""
    return sha256_of_bytes(text.encode("utf-8", "surrogatepass"))
