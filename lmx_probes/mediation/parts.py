"""Tables that grow part by part: each is on the disk whole or not at all, and a killed run goes on after it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lmx_files import atomic, jsonl, parquet
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_files.reading import reason

PLAN = "plan.json"


class Parts:
    """The parts of some tables in a folder, made for one plan.

    Raises:
        UserError: the folder holds parts of another plan, or cannot be written.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        digest = sha256_of_text(json.dumps(plan, sort_keys=True, default=str))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / PLAN).is_file():
                if jsonl.read_object(folder / PLAN).get("plan") != digest:
                    raise UserError(
                        f"{folder} holds measurements of other pairs, another model or other settings: name another "
                        "folder with -o, or remove this one"
                    )
            else:
                atomic.write(folder / PLAN, json.dumps({"plan": digest}) + "\n", sync=True)
        except OSError as error:
            raise UserError(f"cannot write into {folder}: {reason(error)}. Choose another folder with -o") from error

    def has(self, number: int) -> bool:
        """Tell whether a part is there; the mark is written after its tables."""
        return (self.folder / f"part-{number:05d}.done").is_file()

    def write(self, number: int, tables: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        """Write a part of each table, then the mark that it is whole.

        Raises:
            UserError: the disk is full or the like; what was measured before stays.
        """
        for name, columns in tables.items():
            parquet.write(self.folder / f"{name}-{number:05d}.parquet", pa.table(dict(columns)))
        try:
            atomic.write(self.folder / f"part-{number:05d}.done", "", sync=True)
        except OSError as error:
            raise UserError(f"cannot write into {self.folder}: {reason(error)}. Make room and run again") from error


def joined(folder: Path, name: str) -> pa.Table:
    """Return a table of all its parts, in order."""
    files = sorted(folder.glob(f"{name}-*.parquet"))
    return pa.concat_tables([parquet.read(file) for file in files])
