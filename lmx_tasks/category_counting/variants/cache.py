"""Items that are made on first use and kept in the user's cache, so that every run reads the same file.

A kept file is one line of what it was made from, with the SHA-256 of the rest, and a line an item. It is written whole
or not at all, under a name that follows from what it was made from; two processes that make it at once write the same
bytes. A file that does not fit its checksum is made again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lmx_files import atomic
from lmx_files.hashing import sha256_of_bytes, sha256_of_text
from lmx_files.user_cache import cache_root

Doc = dict[str, Any]
GENERATION = 2
"""Rises when the same settings give other items, so that none made by an older release is read."""
_log = logging.getLogger(__name__)


def folder() -> Path:
    """Return where items are kept, in the user's cache for lmx (`$LMX_CACHE`)."""
    return cache_root() / "category_counting"


def cached(name: str, key: Mapping[str, Any], make: Callable[[], list[Doc]]) -> list[Doc]:
    """Return the items that follow from `key`, from the cache or made now.

    Args:
        name: the first word of the file's name.
        make: makes the items; called where none are kept, or those kept are damaged.

    A cache that cannot be written is done without, with a warning.
    """
    told = json.dumps({"generation": GENERATION, **key}, sort_keys=True)
    path = folder() / f"{name}-{sha256_of_text(told)[:16]}.jsonl"
    if (kept := _read(path, told)) is not None:
        return kept
    docs = make()
    body = "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs)
    head = json.dumps({"sha256": sha256_of_text(body), "made_from": json.loads(told)}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, head + body)
    except OSError as error:
        _log.warning("items are not kept, %s cannot be written: %s", path, error.strerror or error)
    return [json.loads(line) for line in body.splitlines()]


def _read(path: Path, told: str) -> list[Doc] | None:
    """Return kept items; None where there are none, or they are not what was written."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        about = json.loads(head)
        whole = about["sha256"] == sha256_of_bytes(body) and about["made_from"] == json.loads(told)
        if whole:
            return [json.loads(line) for line in body.split(b"\n") if line]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _log.warning("%s is damaged and is made again", path)
    return None
