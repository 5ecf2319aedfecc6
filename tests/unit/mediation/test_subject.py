"""A study is of the model that wrote the run's answers, all of it, or it is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from lmx_files.errors import UserError
from lmx_files.runs.folders import read_run
from lmx_models.harness.asking import arguments_of
from lmx_models.records.fingerprint import model_identity
from lmx_models.zoo import catalogue
from lmx_probes import models
from lmx_probes.mediation import study
from lmx_probes.mediation.subject import Subject, subject_of
from lmx_probes.models import weights_of
from tests.unit.mediation.counting_run import write_run


def run_of(folder: Path, model_args, model: str = "hf"):
    run = write_run(folder, 3)
    file = next(run.glob("results_*.json"))
    found = json.loads(file.read_text())
    found["config"] = {"model": model, "model_args": model_args}
    file.write_text(json.dumps(found))
    return read_run(run)


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ("pretrained=owner/model,revision=abc,dtype=float32,batch_size=8", Subject("owner/model", "abc")),
        ({"pretrained": "owner/model", "revision": 12345678}, Subject("owner/model", "12345678")),
        ({"pretrained": "tiny-oracle", "tokenizer": "tiny-oracle", "peft": None}, Subject("tiny-oracle")),
        ("pretrained=tiny-oracle,trust_remote_code=False,load_in_8bit=False", Subject("tiny-oracle")),
    ],
)
def test_the_model_is_read_with_its_revision(given, subject, tmp_path):
    assert subject_of(run_of(tmp_path, given), arguments_of) == subject


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("hf", "pretrained=tiny-base,peft=some/adapter", r"peft=some/adapter.*another model would be looked at"),
        ("hf", {"pretrained": "tiny-base", "delta": "some/delta"}, "delta=some/delta"),
        ("hf", {"pretrained": "tiny-base", "subfolder": "last"}, "subfolder=last"),
        ("hf", "pretrained=tiny-base,tokenizer=tiny-oracle", "tokenizer=tiny-oracle"),
        ("hf", "pretrained=tiny-base,load_in_4bit=True", "load_in_4bit=True"),
        ("guided", "pretrained=tiny-base,oracle=tiny-oracle", r"several models \(guided\).*--model tiny-base"),
        ("guided", "base=tiny-base", "several models"),
        ("iterative", "inner=contrastive,pretrained=tiny-oracle,amateur=tiny-base", "amateur=tiny-base"),
        ("mine", "pretrained=tiny-oracle,critic=tiny-base", "critic=tiny-base"),
        ("hf", "pretrained=tiny-base,revision", "write NAME=VALUE"),
        ("local-completions", "pretrained=x,base_url=http://here", "no weights here"),
    ],
)
def test_what_would_be_another_model_is_refused_in_one_line(model, given, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        subject_of(run_of(tmp_path, given, model), arguments_of)
    assert "\n" not in str(caught.value)


def test_the_revision_reaches_the_loader(tmp_path):
    with pytest.raises(UserError, match="no revision 'abc' of 'tiny-oracle'"):
        weights_of("tiny-oracle", device="cpu", revision="abc")


def test_other_weights_under_the_same_name_are_another_study(tmp_path):
    """The plan holds the content of the model, so that a folder that was trained on is not gone on with."""
    folder = tmp_path / "model"
    shutil.copytree(catalogue.resolve("tiny-oracle").pretrained, folder)
    run = read_run(write_run(tmp_path / "run", 12))
    asked = study.Options(components=("residual",), pairs=4, controls=0.0, both=False, layers=(1,))

    def measured():
        model_identity.cache_clear()  # a process asks once for each folder
        return study.run_study(run, tmp_path / "out", Subject(str(folder)), "cpu", "float32", asked, lambda each: each)

    measured()
    measured()
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rms_norm_eps": 1e-3}))
    with pytest.raises(UserError, match="another model"):
        measured()
    shutil.rmtree(tmp_path / "out")
    measured()
    about = json.loads((tmp_path / "out" / "mediation_study.json").read_text())
    assert about["weights_identity"].startswith("sha256:")
    assert about["model"] == str(folder)


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "device"),
    [
        (True, False, None, "cuda"), (False, True, None, "cpu"), (False, True, "mps", "mps"),
        (False, False, "cuda:1", "cpu"), (True, False, "cpu", "cpu"),
    ],
)  # fmt: skip
def test_probes_are_put_where_sums_in_float64_can_be_made(cuda, mps, asked, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    placed = []
    monkeypatch.setattr(models, "load_model", lambda *given: placed.append(str(given[3])) or (_Plain(), None))
    weights_of("tiny-base", device=asked)
    assert placed == [device]


class _Plain:
    config = None
