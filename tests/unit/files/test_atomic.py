"""A reader finds the old file or the new one; drafts leave nothing, follow nothing, and are the owner's where asked."""

from __future__ import annotations

import os
import stat

import pytest

from lmx_files import atomic
from lmx_files.errors import UserError


def test_until_the_block_ends_the_old_file_is_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with atomic.replacing(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_fails_in_the_middle_leaves_the_old_file_and_no_draft(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def broken():
        with atomic.replacing(path) as file:
            file.write("new")
            raise error

    with pytest.raises(error):
        broken()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_in_the_place_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    atomic.write(tmp_path / "file", "new")
    assert (tmp_path / "victim").read_text() == "kept"
    assert not (tmp_path / "file").is_symlink()


def test_drafts_are_never_a_file_that_is_there(tmp_path, monkeypatch):
    names = iter(["taken", "taken", "free"])
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda _: next(names))
    (tmp_path / "victim").write_text("kept")
    (tmp_path / ".file.taken.part").symlink_to(tmp_path / "victim")
    atomic.write(tmp_path / "file", "new")
    assert (tmp_path / "victim").read_text() == "kept"
    assert (tmp_path / "file").read_text() == "new"


def test_only_the_owner_sees_what_is_for_the_owner(tmp_path):
    before = os.umask(0o022)
    try:
        atomic.write(tmp_path / "private", "x", sync=True, mode=atomic.OWNER)
        atomic.write(tmp_path / "public", "x")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "public")}
    assert modes == {"private": 0o600, "public": 0o644}


def test_names_of_any_length_that_a_file_may_have(tmp_path):
    name = "n" * 255
    atomic.write(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(UserError, match="can be no file"):
        atomic.write_files(tmp_path, {"first": "x", "n" * 256: "x"})
    assert os.listdir(tmp_path) == [name]


def test_several_files_are_all_written_or_none(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=r"'b' can be no file in .*: choose another folder with --there"):
        atomic.write_files(tmp_path, {"a": "new", "b": "new"}, "--there")
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    for name in ("../c", ".", "", "d/e", "f\0"):
        with pytest.raises(UserError, match="can be no file"):
            atomic.write_files(tmp_path, {name: "new"})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into"):
        atomic.write_files(tmp_path / "file", {"a": "new"})
