"""Parquet: whole or not there, in parts that another measurement cannot go on with, equal bytes for equal tables."""

from __future__ import annotations

import io
import json
import math
import os

import pandas as pd
import pyarrow as pa
import pytest

from lmx_files import parquet
from lmx_files.errors import UserError

SCHEMA = pa.schema({"number": pa.int32(), "value": pa.float64(), "word": pa.string()})


def columns(start, values):
    return {"number": range(start, start + len(values)), "value": values, "word": ["ü"] * len(values)}


def test_parts_come_back_in_order_and_equal_tables_have_equal_bytes(tmp_path):
    for name in ("one", "other"):
        parts = parquet.Parts(tmp_path / name, SCHEMA)
        parts.write(10, columns(2, [None, 0.5]))
        parts.write(2, columns(0, [1 / 3, math.inf]))
        assert (parts.has(2), parts.has(3)) == (True, False)
    found = parquet.read(tmp_path / "one")
    assert found.schema == SCHEMA
    assert found["number"].to_pylist() == [0, 1, 2, 3]
    assert found["value"].to_pylist() == [1 / 3, math.inf, None, 0.5]
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "other" / path.name).read_bytes() == path.read_bytes()
    assert not [path for path in (tmp_path / "one").iterdir() if path.name.startswith(".")]


def test_columns_in_another_order_are_a_mistake_of_ours(tmp_path):
    with pytest.raises(ValueError, match="are not those of the schema"):
        parquet.Parts(tmp_path, SCHEMA).write(0, {"value": [], "number": [], "word": []})
    assert not list(tmp_path.iterdir())


def test_a_part_without_values_keeps_its_types(tmp_path):
    parts = parquet.Parts(tmp_path, SCHEMA)
    parts.write(0, columns(0, []))
    parts.write(1, columns(0, [None, None]))
    assert [part.schema for part in parquet.parts(tmp_path)] == [SCHEMA, SCHEMA]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_one_line(tmp_path, content):
    (tmp_path / "file.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"file.parquet is no whole Parquet file \([^\n]*\): make it again$"):
        parquet.read(tmp_path / "file.parquet")


def test_what_cannot_be_read_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.parquet")
    for name in ("pipe.parquet", "nothing.parquet"):
        with pytest.raises(UserError, match=f"^cannot read {tmp_path / name}: "):
            parquet.frame(tmp_path / name)
    with pytest.raises(UserError, match=r"holds no part-\*.parquet"):
        parquet.read(tmp_path)
    parquet.Parts(tmp_path, SCHEMA).write(0, columns(0, [1.0]))
    with pytest.raises(UserError, match="has no column 'other'"):
        parquet.read(tmp_path, ["number", "other"])


def test_tables_of_pandas_are_those_that_pandas_reads(tmp_path):
    table = pd.DataFrame({"a": [1, 2], "b": [None, 0.1], "c": ["x", None], "d": [[1.5], []]})
    (tmp_path / "t.parquet").write_bytes(parquet.encoded(table))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    assert parquet.encoded(table) == buffer.getvalue()
    pd.testing.assert_frame_equal(parquet.frame(tmp_path / "t.parquet"), pd.read_parquet(tmp_path / "t.parquet"))


def test_a_plan_is_gone_on_with_and_another_is_refused(tmp_path):
    folder, plan = tmp_path / "parts", {"texts": "abc", "mode": ("a", 1)}
    assert parquet.planned(folder, plan) is None
    begun = parquet.begin(folder, plan, {"stamp": "now"})
    assert begun == {"texts": "abc", "mode": ["a", 1], "stamp": "now"} == json.loads((folder / "plan.json").read_text())
    (folder / ".part-00000.parquet.12345678.part").write_bytes(b"half of a part")
    assert parquet.planned(folder, plan) == begun
    assert [path.name for path in folder.iterdir()] == ["plan.json"]
    with pytest.raises(UserError, match=r"another measurement \(mode, rows differ\): name another folder with -x"):
        parquet.planned(folder, {**plan, "mode": ["a", 2], "rows": 3}, "-x")


def test_a_file_that_cannot_be_written_is_one_line_and_the_old_one_stays(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        parquet.write(tmp_path / "file" / "t.parquet", pa.table({"a": [1]}))
    with pytest.raises(UserError, match="cannot write into"):
        parquet.begin(tmp_path / "file", {}, {})
    assert (tmp_path / "file").read_text() == "a file"
