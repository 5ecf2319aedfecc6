"""Files in a folder that somebody else has filled: links, FIFOs, files of another kind under our names."""

import os

import pytest

from lmx_files import opening
from lmx_files.errors import UserError


def ours(line: bytes) -> bool:
    return line.startswith(b"ours ")


def append(path):
    return opening.open_after_last_line(path, ours, lambda torn: torn.startswith(b"ours "), "lines of ours")


USES = [
    opening.open_regular, opening.open_to_read, opening.read_bytes, opening.open_log, append,
    lambda path: opening.open_regular(path, os.O_WRONLY | os.O_CREAT), opening.lock_file,
]  # fmt: skip


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder"])
def test_only_regular_files_are_opened_and_nothing_waits(tmp_path, use, kind):
    victim, path = tmp_path / "victim", tmp_path / "name"
    victim.write_bytes(b"a user's only line")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(UserError, match=str(path)):
        use(path)
    assert victim.read_bytes() == b"a user's only line"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("content", [b"foreign", b"foreign\n", b"foreign\nours torn", b"ours 1\nforeign torn", b"o"])
def test_a_file_that_is_not_surely_ours_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "name"
    path.write_bytes(content)
    with pytest.raises(UserError, match="something else than lines of ours"):
        append(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b"ours 1\n", b"ours 1\n"),
        (b"ours 1\nours to", b"ours 1\n"),
        (b"ours 1\no", b"ours 1\n"),
        (b"ours t", b""),
    ],
)
def test_a_torn_line_of_ours_is_cut(tmp_path, before, after):
    path = tmp_path / "name"
    path.write_bytes(before)
    os.close(append(path))
    assert path.read_bytes() == after


def test_a_file_larger_than_ours_ever_are_is_not_read(tmp_path):
    (tmp_path / "large").write_bytes(b"12345")
    with pytest.raises(UserError, match="more than 4 bytes"):
        opening.read_bytes(tmp_path / "large", 4)


def test_a_lock_never_empties_a_file(tmp_path):
    (tmp_path / "lock").write_bytes(b"notes")
    with pytest.raises(UserError, match="no lock of lmx's"):
        opening.lock_file(tmp_path / "lock")
    with opening.lock_file(tmp_path / "fresh"):
        assert (tmp_path / "fresh").is_file()
