"""Archives of somebody else: read alike whatever packed them; what would leave the folder, or grow, is refused."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import pytest

from lmx_files import archives
from lmx_files.errors import UserError

FILES = {"a.txt": b"first", "b/c.txt": b"second" * 1000, "b/d.bin": bytes(range(256))}


def tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(path, wanted=lambda name: True):
    return dict(archives.members(path, wanted))


@pytest.fixture(params=["folder", "tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def packed(request, tmp_path):
    path = tmp_path / f"packed.{request.param}"
    if request.param == "folder":
        for name, content in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return path
    if request.param == "zip":
        return zipped(path, FILES)
    return tar(path, FILES, f"w:{request.param.partition('.')[2]}")


def test_members_are_the_same_whatever_packed_them(packed):
    assert read(packed) == FILES
    assert read(packed, lambda name: name.endswith(".txt")) == {n: c for n, c in FILES.items() if n.endswith(".txt")}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_an_archive_that_breaks_off_is_told(tmp_path, kind):
    path = tmp_path / f"packed.{kind}"
    content = (zipped(path, FILES) if kind == "zip" else tar(path, FILES, f"w:{kind.partition('.')[2]}")).read_bytes()
    for cut in (len(content) // 2, len(content) - (10_000 if kind == "tar" else 5)):
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match="not a whole tar or zip archive"):
            read(path)


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "C:/x", "a\\b"])
def test_members_that_leave_the_folder_are_refused(tmp_path, name):
    for path in (tar(tmp_path / "a.tar", {name: b"x"}), zipped(tmp_path / "a.zip", {name: b"x"})):
        with pytest.raises(UserError, match="leaves the folder"):
            read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(UserError, match=r"is a (link|device), which is not followed"):
        read(tmp_path / "a.tar")
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        read(tmp_path / "a.zip")


def test_links_in_a_folder_are_not_followed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "secret", tmp_path / "folder" / "link")
    with pytest.raises(UserError, match="is a symbolic link"):
        read(tmp_path / "folder")


def test_an_archive_that_grows_without_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_SMALL", 1 << 20)
    zeros = {"zeros": bytes(5 << 20)}
    for path in (tar(tmp_path / "a.tar.gz", zeros, "w:gz"), zipped(tmp_path / "a.zip", zeros)):
        with pytest.raises(UserError, match="unpacks to more than 200 times"):
            read(path, lambda name: False)
    monkeypatch.setattr(archives, "LARGEST", 10)
    with pytest.raises(UserError, match="more than the 10 of any task"):
        read(tar(tmp_path / "b.tar", FILES))


def test_two_members_of_a_name_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("twice"))
    with pytest.raises(UserError, match="two members are called 'twice'"):
        read(tmp_path / "a.tar")
