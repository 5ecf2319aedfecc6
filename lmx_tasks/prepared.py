"""The files that `lmx data prepare` writes, and whether they are still as it wrote them."""

from __future__ import annotations

from pathlib import Path

from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_files.jsonl import read_object
from lmx_files.reading import is_regular

DATA, PLAIN = "test.jsonl.gz", "test.jsonl"
MANIFEST = "manifest.json"


def verified(path: Path) -> Path:
    """Return a data file after comparing it with the manifest beside it, if there is one that names it.

    Raises:
        UserError: the file is not the one that was prepared.
    """
    manifest = path.with_name(MANIFEST)
    if not is_regular(manifest) or not is_regular(path):
        return path
    files = read_object(manifest).get("files")
    told = files.get(path.name) if isinstance(files, dict) else None
    if isinstance(told, dict) and told.get("sha256") != sha256(path):
        raise UserError(
            f"{path} is not the file that {manifest} tells of (another SHA-256): run `lmx data prepare` again, or "
            "remove the manifest if you changed the data on purpose"
        )
    return path
