"""The journal's file: what survives a crash, a full disk, a second process, and what is refused."""

import json
import logging
import os
import subprocess
import sys

import pytest

from lmx_files.errors import UserError
from lmx_files.journal import Journal, key_of

KEYS = [key_of(i) for i in range(6)]


def filled(folder, n=3) -> Journal:
    journal = Journal(folder)
    for i in range(n):
        journal.add(KEYS[i], {"text": f"caf\u00e9 {i}\n", "n": i})
    journal.sync()
    return journal


def test_what_was_added_is_there_again(tmp_path):
    filled(tmp_path).close()
    again = Journal(tmp_path)
    assert list(again) == KEYS[:3]
    assert again[KEYS[1]] == {"text": "caf\u00e9 1\n", "n": 1}
    assert again.get(KEYS[5]) is None
    again.add(KEYS[5], 1.5)
    assert again[KEYS[5]] == 1.5
    again.close()
    lines = (tmp_path / "journal-0001.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [*KEYS[:3], KEYS[5]]


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path, caplog, cut):
    filled(tmp_path).close()
    path = tmp_path / "journal-0001.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with caplog.at_level(logging.WARNING):
        journal = Journal(tmp_path)
    assert list(journal) == KEYS[:2]
    assert "journal-0001.jsonl, line 3: left out" in caplog.text
    journal.add(KEYS[4], 4)
    journal.close()
    caplog.clear()
    assert dict(Journal(tmp_path)) == {
        KEYS[0]: {"text": "caf\u00e9 0\n", "n": 0},
        KEYS[1]: {"text": "caf\u00e9 1\n", "n": 1},
        KEYS[4]: 4,
    }
    assert not caplog.text


def test_a_last_line_that_lost_its_bytes_to_a_power_cut_is_torn_too(tmp_path):
    filled(tmp_path).close()
    path = tmp_path / "journal-0001.jsonl"
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[:-last] + b"\0" * last)
    assert list(Journal(tmp_path)) == KEYS[:2]


@pytest.mark.parametrize("line", [0, 1])
def test_a_damaged_line_elsewhere_is_an_error_that_names_it(tmp_path, line):
    filled(tmp_path).close()
    path = tmp_path / "journal-0001.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[line] = lines[line].replace("caf", "tea")
    path.write_text("".join(lines))
    with pytest.raises(UserError, match=f"journal-0001.jsonl, line {line + 1}: a damaged line"):
        Journal(tmp_path)
    assert path.read_text() == "".join(lines)


def test_damage_behind_the_back_of_a_running_process_is_found_when_read(tmp_path):
    journal = filled(tmp_path)
    path = tmp_path / "journal-0001.jsonl"
    path.write_text(path.read_text().replace("caf", "tea"))
    with pytest.raises(UserError, match="damaged"):
        journal[KEYS[0]]


def test_two_processes_lose_nothing(tmp_path, caplog):
    first = filled(tmp_path, 2)
    with caplog.at_level(logging.WARNING):
        second = Journal(tmp_path)
    assert "another process writes to the journal" in caplog.text
    assert list(second) == KEYS[:2]
    first.add(KEYS[2], "first")
    second.add(KEYS[3], "second")
    second.add(KEYS[2], "the same from the second")
    first.close()
    second.close()
    again = Journal(tmp_path)
    assert set(again) == set(KEYS[:4])
    assert again.path.name == "journal-0001.jsonl"


def test_a_line_that_another_process_is_writing_is_let_be(tmp_path, caplog):
    first = filled(tmp_path, 2)
    os.write(first._file, b'{"sha256":"')
    with caplog.at_level(logging.WARNING):
        second = Journal(tmp_path, shared=True)
    assert list(second) == KEYS[:2]
    assert not caplog.text
    assert (tmp_path / "journal-0001.jsonl").read_bytes().endswith(b'{"sha256":"')


def test_headers_are_kept_once_and_are_no_values(tmp_path):
    journal = Journal(tmp_path)
    key = journal.add_header({"c": 1})
    assert journal.add_header({"c": 1}) == key
    assert len(journal) == 0
    journal.close()
    again = Journal(tmp_path)
    assert again.headers == {key: {"c": 1}}
    assert len(again) == 0


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    code = f"""
import resource
from lmx_files.journal import Journal, key_of
journal = Journal({str(tmp_path)!r})
for i in range(2):
    journal.add(key_of(i), "x" * 400)
resource.setrlimit(resource.RLIMIT_FSIZE, (1400, 1400))  # the next line fits only in part
journal.add(key_of(2), "x" * 400)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UserError: cannot write the journal" in done.stderr
    assert "What was finished before is kept" in done.stderr
    journal = Journal(tmp_path)
    assert list(journal) == [key_of(0), key_of(1)]


@pytest.mark.parametrize("folder", ["/proc/journal", "{tmp_path}/file/journal"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot open the journal .*LMX_JOURNAL"):
        Journal(folder.format(tmp_path=tmp_path))
