"""What commands share: a progress bar that only a terminal sees, and one check of folders for results."""

from __future__ import annotations

import pytest

from lmx_cli.output import check_folder, tracked
from lmx_files.errors import UserError


def test_items_come_through_in_order_and_nothing_is_drawn_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(iter("abc"), "reading")) == ["a", "b", "c"]
    assert list(tracked([], "reading")) == []
    out, err = capfd.readouterr()
    assert (out, err.strip()) == ("", "")


def test_nothing_is_taken_before_it_is_asked_for() -> None:
    taken = tracked([1, 2, 3], "reading")
    assert next(taken) == 1
    taken.close()


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.csv", "out.parquet", "out.png", "out.svg", "out.html"])
def test_a_folder_is_not_named_like_a_file(tmp_path, name: str) -> None:
    with pytest.raises(UserError, match=r"--there .* is a file: name a folder"):
        check_folder(tmp_path / name, "--there")


def test_a_file_is_no_folder_and_a_new_folder_is_not_made_by_the_check(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file: name a folder"):
        check_folder(tmp_path / "file")
    with pytest.raises(UserError):
        check_folder(tmp_path / "file" / "below")
    check_folder(tmp_path / "new" / "out_v1.5")
    assert not (tmp_path / "new").exists()
