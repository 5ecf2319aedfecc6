"""Models from somebody else, in every role: no code of theirs runs and no pickle is opened, whatever is answered."""

import ast
import io
import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from lmx_models.guided.servers import GuidedOnServer
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.zoo import catalogue, folders, loading
from lmx_models.zoo.resolved import Resolved

ROOT = Path(__file__).resolve().parents[3]
TINY = catalogue.TINY / "tiny-base"


class Evil:
    def __reduce__(self):
        return (open, (str(Path("RAN")), "w"))


def copy(folder: Path, **config) -> Path:
    shutil.copytree(TINY, folder)
    (folder / "config.json").write_text(json.dumps(json.loads((TINY / "config.json").read_text()) | config))
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current folder, and somebody who answers every question with yes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    yield
    assert not (tmp_path / "RAN").exists()


@pytest.fixture
def coded(tmp_path):
    """A model of an unknown type that brings its own code."""
    code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    folder = copy(tmp_path / "coded", model_type="evil", auto_map=code)
    (folder / "evil.py").write_text("open('RAN', 'w')")
    return str(folder)


@pytest.fixture
def coded_tokenizer(tmp_path):
    folder = copy(tmp_path / "tokenizer")
    (folder / "evil.py").write_text("open('RAN', 'w')")
    settings = json.loads((TINY / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "EvilTokenizer", "auto_map": {"AutoTokenizer": ["evil.Tok", "evil.Tok"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(folder)


@pytest.mark.parametrize("foreign", ["coded", "coded_tokenizer"])
@pytest.mark.parametrize(
    "make",
    [
        lambda model: AutoregressiveLM(model),
        lambda model: AutoregressiveLM("tiny-base", tokenizer=model),
        lambda model: GuidedLM("tiny-base", oracle=model),
        lambda model: IterativeLM("tiny-base", inner="guided", oracle=model),
        lambda model: GuidedOnServer("openai:http://127.0.0.1:9/v1#m", oracle=model),
        lambda model: HybridLM("ar_to_diffusion", ar=model, diffusion="tiny-wedlm", diffusion_method="wedlm"),
        lambda model: HybridLM("ar_to_diffusion", ar="tiny-base", diffusion=model, diffusion_method="wedlm"),
        lambda model: loading.load(Resolved(model, None, None, "x", "folder", ""), "x", torch.float32, "cpu"),
    ],
)
def test_code_of_a_model_never_runs_in_any_role(make, foreign, request):
    with pytest.raises(UserError, match=r"code of its own.* not run") as told:
        make(request.getfixturevalue(foreign))
    assert "\n" not in str(told.value)


def test_code_of_a_tokenizer_never_runs(coded_tokenizer):
    with pytest.raises(UserError, match="code of its own, which is not run"):
        loading.load_tokenizer(Resolved(coded_tokenizer, None, None, "x", "folder", ""), "x")


def test_it_is_refused_before_any_weights_are_loaded(coded, coded_tokenizer, monkeypatch):
    monkeypatch.setattr(loading, "model_from", lambda *_: pytest.fail("weights were loaded"))
    for model, what in ((coded, "model_type 'evil'"), (coded_tokenizer, "tokenizer 'EvilTokenizer'")):
        with pytest.raises(
            UserError, match=rf"brings code of its own \(auto_map\), which is not run, .* know its {what}"
        ):
            catalogue.resolve(model)


def test_a_model_of_a_known_class_loads_without_the_code_it_brings(tmp_path):
    folder = copy(tmp_path / "known", auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("open('RAN', 'w')")
    model, _ = loading.load(catalogue.resolve(str(folder)), "known", torch.float32, torch.device("cpu"))
    assert type(model).__module__.startswith("transformers.")


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"attn_implementation": "somebody/kernels"}, "names a repository of code"),
        ({"_attn_implementation": {"": "somebody/kernels"}}, "names a repository of code"),
        ({"_experts_implementation": "somebody/kernels"}, "names a repository of code"),
        ({"text_config": {"attn_implementation": {"a": "somebody/kernels"}}}, "names a repository of code"),
        ({"transformers_weights": "adapter_model.bin"}, "names weights that are no safetensors"),
    ],
)
def test_a_configuration_that_leads_to_code_or_pickles_is_refused(tmp_path, config, what):
    with pytest.raises(UserError, match=what):
        catalogue.resolve(str(copy(tmp_path / "model", **config)))


@pytest.mark.parametrize(
    "config", [{"quantization_config": "x"}, {"quantization_config": {"quant_method": "gptq", "bits": 4}},
               {"rope_parameters": {"rope_type": "odd"}}, {"hidden_size": 100_000}, {"dtype": "os.system"}, None]
)  # fmt: skip
def test_a_damaged_model_is_one_line(tmp_path, config):
    folder = copy(tmp_path / "model", **(config or {}))
    if config is None:
        (folder / "model.safetensors").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"cannot load '.*model': its files are damaged, or need a package") as told:
        AutoregressiveLM(str(folder))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("part", ["pytorch_model.bin", "../model.safetensors", "/etc/x.safetensors", 5])
def test_an_index_names_safetensors_of_its_folder_only(tmp_path, part):
    folder = copy(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": part}}))
    with pytest.raises(UserError, match="no safetensors file of this folder"):
        catalogue.resolve(str(folder))


def test_an_adapter_beside_a_model_is_refused(tmp_path):
    folder = copy(tmp_path / "model")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "elsewhere"}))
    with pytest.raises(UserError, match="holds a PEFT adapter beside a model"):
        catalogue.resolve(str(folder))


@pytest.mark.parametrize("argument", ["peft", "delta"])
@pytest.mark.parametrize("name", ["pickled", "nowhere", "no id at all"])
def test_adapters_and_deltas_are_safetensors(tmp_path, argument, name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / ("adapter_config.json" if argument == "peft" else "config.json")).write_text("{}")
    for file in ("adapter_model.bin", "pytorch_model.bin"):
        (pickled / file).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="pickled weights" if name == "pickled" else name):
        AutoregressiveLM("tiny-base", **{argument: name})


def test_models_are_loaded_in_one_place():
    found = []
    for path in sorted(ROOT.glob("lmx_*/**/*.py")):
        if path.name != "from_files.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [
                f"{path.relative_to(ROOT)}:{node.lineno}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute)
                and (
                    node.attr == "from_pretrained"
                    or (node.attr == "load" and getattr(node.value, "id", "") in ("torch", "pickle"))
                )
            ]
    assert found == []


def test_the_shipped_models_are_fine():
    assert [folders.problem(path.parent) for path in catalogue.TINY.glob("*/config.json")] == [""] * 5
