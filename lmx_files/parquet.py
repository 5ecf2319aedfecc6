"""Parquet in numbered parts: written one at a time, each whole or not at all, so that long work goes on after a kill.

A data set is a folder of ``part-00000.parquet``, ``part-00001.parquet`` and so on, as pandas, DuckDB and pyarrow read
it. Equal tables give equal bytes (one version of pyarrow): no time, name or order of threads goes into a file.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmx_files import atomic, jsonl
from lmx_files.errors import UserError
from lmx_files.reading import open_following_links, reason

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PLAN = "plan.json"
_PART = re.compile(r"^part-(\d{5,})\.parquet$")


def write(path: Path, table: pa.Table) -> None:
    """Write one table whole, on the disk when this returns.

    Raises:
        UserError: it cannot be written; an older file is unchanged.
    """
    import pyarrow.parquet as pq

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path, binary=True, sync=True) as file:
            pq.write_table(table, file, compression="zstd", row_group_size=1 << 17)
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason(error)}. Make room, or choose another folder") from error


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file, or all parts of a folder in order.

    Raises:
        UserError: it is not there, is no Parquet, or lacks a column.
    """
    import pyarrow as pa

    if path.is_dir():
        tables = list(parts(path, columns))
        if not tables:
            raise UserError(f"{path} holds no part-*.parquet")
        return pa.concat_tables(tables)
    return _read(path, columns)


def encoded(frame: pd.DataFrame) -> bytes:
    """Return a table of pandas as the bytes of a Parquet file, without its index."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def frame(path: Path) -> pd.DataFrame:
    """Read a file, or all parts of a folder in order, as a table of pandas; errors as for `read`."""
    return read(path).to_pandas()


class Parts:
    """The parts of a data set that is being written.

    Args:
        schema: of every part.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self.schema = folder, schema

    def path(self, number: int) -> Path:
        """Return where a part lies."""
        return self.folder / f"part-{number:05d}.parquet"

    def has(self, number: int) -> bool:
        """Tell whether a part is finished."""
        return self.path(number).is_file()

    def write(self, number: int, columns: Mapping[str, Any]) -> None:
        """Write a part from columns (arrays or lists, by name, in the order of the schema)."""
        import pyarrow as pa

        if list(columns) != self.schema.names:
            raise ValueError(f"columns {list(columns)} are not those of the schema, {self.schema.names}")
        arrays = [_array(values, field.type) for values, field in zip(columns.values(), self.schema, strict=True)]
        write(self.path(number), pa.Table.from_arrays(arrays, schema=self.schema))


def planned(folder: Path, plan: Mapping[str, Any], option: str = "-o") -> dict[str, Any] | None:
    """Return what `begin` wrote of the parts in a folder; None where it wrote nothing.

    Drafts that a killed attempt left are removed.

    Args:
        plan: all that the parts depend on. option: names the folder on the command line, for the message.

    Raises:
        UserError: the folder holds parts of another plan.
    """
    path = folder / PLAN
    if not path.is_file():
        return None
    known = jsonl.read_object(path)
    if changed := [name for name, value in _plain(plan).items() if known.get(name) != value]:
        raise UserError(
            f"{folder} holds parts of another measurement ({', '.join(changed)} differ): name another folder with "
            f"{option}, or remove that one"
        )
    for draft in folder.glob(".*.part"):
        draft.unlink(missing_ok=True)
    return known


def begin(folder: Path, plan: Mapping[str, Any], fresh: Mapping[str, Any], option: str = "-o") -> dict[str, Any]:
    """Write down the plan of parts before the first of them, with what is `fresh` at that time; return both.

    Raises:
        UserError: it cannot be written.
    """
    whole = {**_plain(plan), **_plain(fresh)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write(folder / PLAN, json.dumps(whole, indent=2, ensure_ascii=False) + "\n", sync=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {reason(error)}. Choose another one with {option}") from error
    return whole


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are when they are read again."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return plain


def _array(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(kind)
    made = pa.array(values)
    return made if made.type == kind else pa.array(values, type=kind) if not len(made) else made.cast(kind)


def numbers(folder: Path) -> list[int]:
    """Return the numbers of a folder's parts, ascending."""
    found = (_PART.match(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for match in found if match)


def parts(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the parts of a folder in order, one in memory at a time."""
    for number in numbers(folder):
        yield _read(folder / f"part-{number:05d}.parquet", columns)


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_following_links(path) as file:
            found = pq.ParquetFile(file)
            missing = [name for name in columns or () if name not in found.schema_arrow.names]
            if missing:
                raise UserError(f"{path} has no column {missing[0]!r}: another kind of file, or of another release")
            return found.read(columns=None if columns is None else list(columns))
    except OSError as error:
        if isinstance(error, pa.ArrowException) or error.errno is None:
            raise UserError(f"{path} is no whole Parquet file ({_first_line(error)}): make it again") from error
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    except pa.ArrowException as error:
        raise UserError(f"{path} is no whole Parquet file ({_first_line(error)}): make it again") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
