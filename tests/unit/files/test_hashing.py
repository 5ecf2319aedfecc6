"""Hashes are those of other programs, of files in pieces, texts and bytes alike."""

from __future__ import annotations

import os
import subprocess

import pytest

from lmx_files import hashing
from lmx_files.errors import UserError

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_file_has_the_hash_that_other_programs_give_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom((1 << 20) + 1))  # two pieces
    other = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert hashing.sha256(path) == other == hashing.sha256_of_bytes(path.read_bytes())
    path.write_bytes(b"")
    assert hashing.sha256(path) == EMPTY == hashing.sha256_of_bytes(b"") == hashing.sha256_of_text("")


def test_texts_are_hashed_as_utf_8():
    assert hashing.sha256_of_text("café") == hashing.sha256_of_bytes("café".encode())
    assert hashing.sha256_of_text("\ud800") == hashing.sha256_of_bytes(b"\xed\xa0\x80")  # lm_eval would fail


def test_what_cannot_be_read_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody waits for a writer
    for name in ("pipe", "nothing", "."):
        with pytest.raises(UserError, match=f"^cannot read {tmp_path}"):
            hashing.sha256(tmp_path / name)
