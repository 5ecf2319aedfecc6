"""Manifests: hashes, versions, seeds and settings of an analysis, without secrets, whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmx_files import manifest
from lmx_files.errors import UserError
from lmx_files.hashing import sha256


def test_an_analysis_is_described_without_its_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijklmnopqrstuvwx")
    (tmp_path / "a").write_text("input")
    settings = {"model_args": {"api_key": "0123456789abcdef"}, "note": "with sk-abcdefghijklmnopqrstuvwx", "k": 3}
    made = manifest.of_analysis([tmp_path / "a"], settings, {"draws": 1234})
    assert made["inputs"] == {str(tmp_path / "a"): sha256(tmp_path / "a")}
    assert made["settings"]["k"] == 3
    assert made["seeds"] == {"draws": 1234}
    assert {"python", "lmx-eval", "numpy"} <= set(made["versions"])
    assert "torch" not in made["versions"]
    assert made["machine"]["cores"]
    written = json.dumps(made)
    assert "0123456789abcdef" not in written
    assert "sk-abc" not in written


def test_hashes_that_are_known_are_taken(tmp_path):
    assert manifest.of_analysis({"gone": "abc"}, {})["inputs"] == {"gone": "abc"}
    with pytest.raises(UserError, match="cannot read"):
        manifest.of_analysis([tmp_path / "gone"], {})


def test_outside_of_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert manifest.of_analysis([], {})["git"] is None
    monkeypatch.chdir(Path(__file__).parent)
    found = manifest.of_analysis([], {})["git"]
    assert found is None or len(found["commit"]) == 40


def test_packages_that_are_not_there_are_left_out():
    assert set(manifest.versions_of(("lmx-eval", "no-such-package"))) == {"python", "lmx-eval"}


def test_a_manifest_is_whole_or_not_there(tmp_path):
    path = tmp_path / "manifest.json"
    manifest.write(path, {"a": "ü"})
    assert json.loads(path.read_text("utf-8")) == {"a": "ü"}
    with pytest.raises(UserError, match=r"the manifest .* cannot be written"):
        manifest.write(tmp_path / "nothing" / "manifest.json", {})
    with pytest.raises(TypeError):
        manifest.write(path, {"a": object()})
    assert json.loads(path.read_text("utf-8")) == {"a": "ü"}
    assert [each.name for each in tmp_path.iterdir()] == ["manifest.json"]
