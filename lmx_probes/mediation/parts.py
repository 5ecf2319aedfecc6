"""Tables that grow part by part: each is on the disk whole or not at all, and a killed run goes on after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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

    The plan is written with the first thing that is finished, so that a folder without any is free for another plan.

    Args:
        plan: all that the tables depend on, of what JSON has, so that it is the same text in every process.

    Raises:
        UserError: the folder holds parts of another plan, or cannot be written.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        self.digest = sha256_of_text(json.dumps(plan, sort_keys=True))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write into {folder}: {reason(error)}. Choose another folder with -o") from error
        self.planned = (folder / PLAN).is_file() and jsonl.read_object(folder / PLAN).get("plan") == self.digest
        if not self.planned and self._holds_something():
            raise UserError(
                f"{folder} holds measurements of other pairs, another model or other settings: name another folder "
                "with -o, or remove this one"
            )

    def has(self, number: int) -> bool:
        """Tell whether a part is there; the mark is written after its tables."""
        return self.planned and (self.folder / f"part-{number:05d}.done").is_file()

    def write(self, number: int, tables: Mapping[str, pa.Table]) -> None:
        """Write a part of each table, then the mark that it is whole.

        Raises:
            UserError: the disk is full or the like; what was measured before stays.
        """
        self._claim()
        for name, table in tables.items():
            parquet.write(self.folder / f"{name}-{number:05d}.parquet", table)
        self._write(f"part-{number:05d}.done", "")

    def once(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """Return a table that all parts share: made if it is not there yet, and read again ever after."""
        file = self.folder / f"{name}.parquet"
        if not (self.planned and file.is_file()):
            table = make()
            self._claim()
            parquet.write(file, table)
        return parquet.read(file)

    def joined(self, name: str) -> pa.Table:
        """Return a table of all its finished parts, in order."""
        numbers = [mark.stem.removeprefix("part-") for mark in sorted(self.folder.glob("part-*.done"))]
        return pa.concat_tables([parquet.read(self.folder / f"{name}-{number}.parquet") for number in numbers])

    def _holds_something(self) -> bool:
        whole = [*self.folder.glob("part-*.done"), *(p for p in self.folder.glob("*.parquet") if "-" not in p.stem)]
        return bool(whole)

    def _claim(self) -> None:
        if not self.planned:
            self._write(PLAN, json.dumps({"plan": self.digest}) + "\n")
            self.planned = True

    def _write(self, name: str, text: str) -> None:
        try:
            atomic.write(self.folder / name, text, sync=True)
        except OSError as error:
            raise UserError(f"cannot write into {self.folder}: {reason(error)}. Make room and run again") from error


def table_of(columns: Mapping[str, Sequence[Any]], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return a table whose columns have the types that are named, so that one without rows has them too."""
    return pa.table({name: pa.array(values, type=types.get(name)) for name, values in columns.items()})
