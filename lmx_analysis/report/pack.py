"""How data travels inside the report: JSON or numbers, gzipped, in base64, in script elements that never run.

Base64 holds no ``<``, so nothing that a model wrote can end its element; and the page inflates a chunk only when a
reader asks for what is in it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from typing import Any

from lmx_files import jsonl


@dataclass(frozen=True)
class Chunk:
    """One data block of the page: the `id` of its element and its content in base64."""

    id: str
    data: str


def json_chunk(name: str, value: Any) -> Chunk:
    """Pack a JSON value. ASCII escapes carry lone surrogates safely."""
    return bytes_chunk(name, to_json(value).encode("ascii"))


def bytes_chunk(name: str, raw: bytes) -> Chunk:
    """Pack bytes."""
    # mtime=0: the same runs give the same file.
    return Chunk(name, base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode("ascii"))


def to_json(value: Any) -> str:
    """Return ASCII JSON as browsers read it; NaN and infinities, which Python's reader lets through, become null."""
    return jsonl.strict(value, separators=(",", ":"), ensure_ascii=True)


def csp_hash(code: str) -> str:
    """Return the source expression by which a Content-Security-Policy admits one inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode('utf-8')).digest()).decode('ascii')}'"
