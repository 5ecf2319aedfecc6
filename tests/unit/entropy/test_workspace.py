"""The folder of a measurement: nothing of the user's is touched, lost states are made again, what stays is said."""

from __future__ import annotations

import functools
import shutil

import pytest

from lmx_files.errors import UserError
from lmx_models.zoo import catalogue
from lmx_probes import models
from lmx_probes.entropy import measure, workspace
from lmx_probes.entropy import measurement as measuring
from tests.unit.entropy.test_measure import PAIR, digest, items, options

_load = functools.cache(models.load)


@pytest.fixture(autouse=True)
def one_load(monkeypatch):
    monkeypatch.setattr(models, "load", lambda name, *args, **more: _load(name))


def test_a_data_folder_of_the_users_is_refused_and_stays(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prompts.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"no measurement .it holds prompts.jsonl.*--output_dir"):
        measuring.entropy(items(2), options(tmp_path, ("tiny-base",)), "s")
    assert digest(tmp_path) == {"data/prompts.jsonl": b"mine"}


def test_what_is_undone_is_the_measurements_own(tmp_path, monkeypatch):
    def interrupted(*_args, **_more):
        (tmp_path / "data" / "notes.txt").write_text("mine")  # put there while it ran
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measuring.entropy(items(2), options(tmp_path, ("tiny-base",)), "s")
    assert digest(tmp_path) == {"data/notes.txt": b"mine"}
    shutil.rmtree(tmp_path / "data")
    monkeypatch.setattr(models, "load", lambda *_args, **_more: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        measuring.entropy(items(2), options(tmp_path / "new", ("tiny-base",)), "s")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("lost", ["part-00001.safetensors", "head.safetensors"])
def test_states_that_were_lost_are_made_again(tmp_path, monkeypatch, lost):
    monkeypatch.setattr(workspace, "PART_TOKENS", 100)
    given = options(tmp_path / "a", keep_hidden=True)
    measuring.entropy(items(8), given, "s")
    expected = digest(tmp_path / "a")
    (tmp_path / "a/data/hidden/tiny-oracle" / lost).unlink()
    shutil.rmtree(tmp_path / "a/data/pairs")
    measuring.entropy(items(8), given, "s")
    assert digest(tmp_path / "a") == expected


def test_states_are_kept_of_one_model_too_and_of_a_finished_measurement(tmp_path):
    measuring.entropy(items(3), options(tmp_path, ("tiny-base",)), "s")
    assert not (tmp_path / "data/hidden").exists()
    measuring.entropy(items(3), options(tmp_path, ("tiny-base",), keep_hidden=True), "s")
    assert {path.name for path in (tmp_path / "data/hidden/tiny-base").iterdir()} == {
        "head.safetensors", "part-00000.safetensors"
    }  # fmt: skip


def test_a_state_that_cannot_be_read_is_one_line(tmp_path):
    measuring.entropy(items(3), options(tmp_path, keep_hidden=True), "s")
    (tmp_path / "data/hidden/tiny-base/part-00000.safetensors").write_bytes(b"torn")
    shutil.rmtree(tmp_path / "data/pairs")
    with pytest.raises(UserError, match=r"part-00000.safetensors.*Remove it and run again"):
        measuring.entropy(items(3), options(tmp_path, keep_hidden=True), "s")


def test_a_head_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models.Head, "save", full)
    with pytest.raises(UserError, match="No space left"):
        measuring.entropy(items(3), options(tmp_path / "out"), "s")


def test_an_error_says_which_parts_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(workspace, "PART_TOKENS", 100)
    real, done = measure.read_part, []

    def damaged(*args):
        done.append(real(*args))
        return done[-1] * (float("nan") if len(done) == 3 else 1)

    monkeypatch.setattr(measure, "read_part", damaged)
    with pytest.raises(UserError, match=r"NaN or infinite.*2 finished parts stay in .*data .*the same command goes on"):
        measuring.entropy(items(8), options(tmp_path / "out"), "s")
    monkeypatch.setattr(measure, "read_part", real)
    measuring.entropy(items(8), options(tmp_path / "out"), "s")


def test_a_copied_model_goes_on_and_a_changed_one_is_refused(tmp_path):
    source = catalogue.TINY / "tiny-base"
    for name in ("a", "b", "changed"):
        shutil.copytree(source, tmp_path / name)
    out = tmp_path / "out"
    measuring.entropy(items(2), measuring.Options((str(tmp_path / "a"),), ("m",), out, device="cpu"), "s")
    measuring.entropy(items(2), measuring.Options((str(tmp_path / "b"),), ("m",), out, device="cpu"), "s")
    weights = tmp_path / "changed" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)  # of the same size
    shutil.copystat(tmp_path / "a" / "model.safetensors", weights)  # and age
    with pytest.raises(UserError, match=r"another measurement .models differ"):
        measuring.entropy(items(2), measuring.Options((str(tmp_path / "changed"),), ("m",), out, device="cpu"), "s")


def test_the_older_time_stamp_is_told(tmp_path):
    measuring.entropy(items(2), options(tmp_path, PAIR[:1]), "older")
    found = measuring.entropy(items(2), options(tmp_path, PAIR[:1]), "newer")
    assert any("measurement of older" in note for note in found.notes)
