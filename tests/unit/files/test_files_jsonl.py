"""JSON lines: a whole file is told from a torn one, and what no reader can use ends in one line."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from lmx_files import hashing, jsonl
from lmx_files.errors import UserError


@pytest.fixture
def file(tmp_path):
    """Write bytes to a file and return its path."""

    def write(raw):
        path = tmp_path / "file.jsonl"
        path.write_bytes(raw)
        return path

    return write


def test_objects_come_back(file):
    path = file('{"a": 1}\n\n{"b": "ü\\ud800", "c": NaN}\n'.encode())
    first, second = jsonl.read(path)
    assert (first, second["b"], second["c"] != second["c"]) == ({"a": 1}, "ü\ud800", True)
    assert jsonl.count(path) == 2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a": 1}\n{"a": 2}', "line 2: not a line of x: it does not end, so the file was cut off"),
        (b'{"a": 1}\n{"a"', "line 2: not a line of x: it does not end"),
        (b'{"a": 1}\n{"a"\n', r"line 2: not a line of x \(Expecting ':'"),
        (b"[1]\n", r"line 1: not a line of x \(a JSON object\)"),
        (b'{"a": "\xff"}\n', r"line 1: not a line of x \('utf-8' codec"),
        (b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}\n", r"line 1: not a line of x \(nested more than 100 deep\)"),
        (b'{"a": ' + b"[" * 10**6 + b"}\n", r"line 1: not a line of x \(nested more than 100 deep\)"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", r"line 1: not a line of x \(a number of thousands of digits\)"),
    ],
)
def test_what_is_not_whole_is_named_by_its_line(file, raw, message):
    with pytest.raises(UserError, match=message) as refused:
        list(jsonl.read(file(raw), "x"))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_file_that_is_being_written_is_read_as_far_as_it_goes(file):
    torn = file(b'{"a": 1}\n{"a": 2}')
    assert list(jsonl.read(torn, last="skip")) == [{"a": 1}]
    assert list(jsonl.read(torn, last="take")) == [{"a": 1}, {"a": 2}]


def test_neither_pipes_nor_folders_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, tmp_path / "none", tmp_path / "nul\0"):
        with pytest.raises(UserError, match="cannot read"):
            list(jsonl.read(place))
        with pytest.raises(UserError, match="cannot read"):
            jsonl.read_object(place)
        with pytest.raises(UserError, match="cannot read"):
            hashing.sha256(place)


def test_what_is_written_is_read(tmp_path):
    values = [{"text": "half \ud83d and \u2028", "n": 1}, {"deep": [[1]]}]
    assert jsonl.write(tmp_path / "new" / "out.jsonl", values) == 2
    assert list(jsonl.read(tmp_path / "new" / "out.jsonl")) == values
    assert (tmp_path / "new" / "out.jsonl").read_bytes().decode("utf-8").count("\n") == 2


def test_surrogates_become_what_can_be_printed():
    whole = {"a\ud800": ["\udfff", "\U0001f600", 1, None]}
    assert jsonl.without_surrogates(whole) == {"a\ufffd": ["\ufffd", "\U0001f600", 1, None]}


def append(path, *values):
    with jsonl.Appender(path, '{"number": ', "numbers", '"name"') as file:
        for value in values:
            file.add(value)


@pytest.mark.parametrize("torn", [b"", b"{", b'{"num', b'{"number": 2, "na', b"\0\0\0\0"])
def test_an_appender_goes_on_after_a_torn_line(tmp_path, torn):
    path = tmp_path / "numbers.jsonl"
    append(path, {"number": 1, "name": "ü\ud800"})
    path.write_bytes(path.read_bytes() + torn)
    append(path, {"number": 2, "name": "b"})
    assert [line["number"] for line in jsonl.read(path)] == [1, 2]
    assert next(jsonl.read(path))["name"] == "ü\ud800"


@pytest.mark.parametrize(
    "content", [b'{"number": 1}\n', b'{"other": 1, "name": 2}\n', b"{", b'{"number": 1, "name": 2}\nx']
)
def test_an_appender_leaves_other_files_alone(tmp_path, content):
    path = tmp_path / "numbers.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match="holds something else than numbers"):
        append(path, {"number": 2, "name": "b"})
    assert path.read_bytes() == content


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_none_of_it(tmp_path):
    path = tmp_path / "numbers.jsonl"
    with jsonl.Appender(path, '{"number": ', "numbers") as file:
        file.add({"number": 1})
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limit[1]))
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with pytest.raises(OSError, match="File too large"):
                file.add({"number": 2})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, ignored)
        assert path.read_bytes() == b'{"number": 1}\n'
        file.add({"number": 3})
    assert [line["number"] for line in jsonl.read(path)] == [1, 3]
