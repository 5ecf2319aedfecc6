"""A decoder with two models as a third party writes it: one file that knows nothing of what is tested here."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.api.instance import Instance

from lmx_cli import new
from lmx_files.errors import UserError
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods import registry
from lmx_models.zoo import catalogue
from lmx_plugins import discovery
from tests.unit.methods.plugins import PACKAGE, installed
from tests.unit.models.test_decoder_lm import FAST, requests

SMALL = {**FAST, "self_check": False}
PAIR = {"pretrained": "tiny-oracle", "amateur": "tiny-base"}
FILE = PACKAGE / "lmx_example" / "contrastive.py"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The plugin, installed; methods that were looked up before are forgotten, and these afterwards."""
    monkeypatch.setattr(registry, "METHODS", {})
    installed(tmp_path / "site", monkeypatch)
    yield discovery.load(next(one for one in discovery.plugins_of("models") if one.name == "contrastive"))
    discovery.find_plugins.cache_clear()


def write(lm: Any, n: int = 3, **gen_kwargs: Any) -> list[Any]:
    return lm.generate_until(requests(n=n, **gen_kwargs), disable_tqdm=True)


def test_it_is_one_file_of_60_lines_with_one_import_of_lmx_and_no_override() -> None:
    text = FILE.read_text()
    written = dict(new.files(new.TWO_MODELS, "contrastive"))["contrastive/model.py"]
    # Blank lines apart: here the linter takes lmx for a package of this project.
    assert list(filter(None, text.splitlines())) == list(filter(None, written.splitlines()))
    assert len(written.splitlines()) <= 60
    assert f"one file of {len(written.splitlines())} lines" in (PACKAGE.parents[1] / "docs" / "extend.md").read_text()
    tree = ast.parse(text)
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in modules if name and name.startswith("lmx")} == {"lmx_models.api"}
    (model,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ContrastiveLM"]
    assert [type(part) for part in model.body] == [ast.Expr, ast.AnnAssign]  # a docstring, and its description
    for word in ("journal", "hybrid", "iterative", "lm_eval", "likelihood", "tokenizer", "identity"):
        assert word not in text.replace("models of one tokenizer", "").replace("lm_eval's ``hf``", ""), word


def test_it_writes_what_its_definition_says(plugin: Any) -> None:
    """Every token is the plausible one with the best score, by plain forwards of both models without the engine."""
    import torch

    lm = plugin(**PAIR, alpha=0.2, amateur_temperature=0.8, **SMALL)
    (text,) = write(lm, n=1, max_gen_toks=8)
    amateur = lm.weights["amateur"].model
    assert amateur is not lm.model
    seen = lm.prompt_tokens(requests(n=1)[0].args[0])
    for token in text.trace.tokens:
        with torch.inference_mode():
            p, q = (m(torch.tensor([seen])).logits[0, -1].double() for m in (lm.model, amateur))
        p, q = torch.log_softmax(p, -1), torch.log_softmax(q / 0.8, -1)
        p_max = p.max()
        assert token == int(torch.where(p.exp() >= 0.2 * p_max.exp(), p - q, torch.tensor(float("-inf"))).argmax())
        seen = [*seen, token]
    assert set(text.trace.cost) == {"expert", "amateur"}


def test_inside_iterative_and_hybrid_it_writes_what_it_writes_alone(plugin: Any, tmp_path: Path) -> None:
    sampled = {"do_sample": True, "temperature": 0.8}
    alone = write(plugin(**PAIR, alpha=0.3, **SMALL), **sampled)
    inside = write(IterativeLM(inner="contrastive", rounds=0, alpha=0.3, **PAIR, **SMALL), **sampled)
    assert inside == alone
    assert [text.trace.fed for text in inside] == [text.trace.fed for text in alone]
    both = IterativeLM(inner="contrastive", rounds=1, **PAIR, **SMALL)
    (text,) = write(both, n=1)
    assert text.trace.by_source().keys() == {"draft"} or "revise" in str(text.trace.by_source())
    nodes = {
        "draft": {"model": "tiny-oracle", "method": "contrastive", "amateur": "tiny-base", "prompt": "{prompt}"},
        "answer": {"model": "tiny-base", "method": "ar", "prompt": "{prompt} {draft}"},
    }
    path = tmp_path / "graph.yaml"
    path.write_text(yaml.safe_dump({"nodes": nodes}, sort_keys=False))
    lm = HybridLM(graph=str(path), draft_alpha=0.3, **SMALL)
    drafts = [one.trace.extra["stages"][0] for one in write(lm)]
    assert [one["text"] for one in drafts] == [str(one) for one in write(plugin(**PAIR, alpha=0.3, **SMALL))]
    assert drafts[0]["settings"]["alpha"] == 0.3
    assert drafts[0]["models"] == {"expert": "tiny-oracle", "amateur": "tiny-base"}
    assert lm.describe()["graph"]["nodes"]["draft"]["amateur"] == "tiny-base"


def test_a_journal_knows_its_amateur_by_content_and_its_code(plugin: Any, tmp_path: Path) -> None:
    def from_journal(**arguments: Any) -> int:
        lm = plugin(**{**PAIR, "journal": str(tmp_path / "journal"), **SMALL, **arguments})
        write(lm, n=2, max_gen_toks=4)
        lm.journal.journal.close()
        return int(lm.get_model_info()["decoding"]["texts_from_journal"])

    assert from_journal() == 0
    assert from_journal() == 2
    assert from_journal(amateur="tiny-oracle") == 0
    assert from_journal(alpha=0.5) == 0
    assert from_journal(amateur=catalogue.resolve("tiny-base").pretrained) == 2, "a folder of the same content"


def test_inside_others_the_journal_knows_its_models_and_its_code(
    plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"rounds": 0, "journal": str(tmp_path / "j"), **SMALL}
    lm = IterativeLM(inner="contrastive", **PAIR, **arguments)
    told = lm.identity(lm.settings)
    assert told["models"]["amateur"].startswith("sha256:")
    monkeypatch.setattr("lmx_models.methods.method.plugin_code", lambda _: "other code")
    assert lm.identity(lm.settings) == {**told, "method_code": {"contrastive": "other code"}} != told
    monkeypatch.undo()
    ar = IterativeLM(inner="ar", pretrained="tiny-oracle", **arguments)
    assert "method_code" not in ar.identity(ar.settings), "lmx's own code is in its version"


def test_results_tell_its_models_settings_and_likelihood(plugin: Any) -> None:
    lm = plugin(**PAIR, alpha=0.3, **SMALL)
    info = lm.get_model_info()["decoding"]
    assert (info["settings"]["amateur"], info["settings"]["alpha"]) == ("tiny-base", 0.3)
    assert info["settings"]["amateur_temperature"] == 1.0
    assert "tiny-oracle alone; amateur takes no part" in info["loglikelihood"]["scored"]
    asked = [Instance("loglikelihood", {}, ("A cat", " sat"), 0, ("t", 0, 1))]
    ar = IterativeLM(pretrained="tiny-oracle", **SMALL).loglikelihood(asked, disable_tqdm=True)
    assert lm.loglikelihood(asked, disable_tqdm=True) == ar


def test_the_same_weights_are_loaded_once(plugin: Any) -> None:
    lm = plugin(pretrained="tiny-base", amateur="tiny-base", **SMALL)
    assert lm.weights["amateur"].model is lm.model
    assert len({id(step) for step in lm.step_models(2, 8).values()}) == 1
    assert len(write(lm)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"amatuer": "tiny-base"}, "unknown --model contrastive argument 'amatuer': did you mean 'amateur'"),
        ({"alhpa": 1}, "did you mean 'alpha'"),
        ({"alpha": 2}, r"alpha=2.0 must lie in \(0, 1\]"),
        ({"amateur": None}, "--model contrastive needs amateur=MODEL"),
        ({"amateur": object()}, "amateur=.*: name it: a short name"),
        ({"amateur": "tiny-bsae"}, "tiny-base"),
    ],
)
def test_mistakes_are_one_line(plugin: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        plugin(**{**PAIR, **SMALL, **arguments})
    assert "\n" not in str(error.value)


def test_mistakes_inside_others(plugin: Any) -> None:
    with pytest.raises(UserError, match="inner=contrastive needs amateur=MODEL"):
        IterativeLM(inner="contrastive", pretrained="tiny-base", **SMALL)
    with pytest.raises(UserError, match="amateur=tiny-base: inner=contrastive needs amateur=MODEL, ar takes none"):
        IterativeLM(inner="ar", amateur="tiny-base", pretrained="tiny-base", **SMALL)
    with pytest.raises(UserError, match="unknown inner method 'echo'"):
        IterativeLM(inner="echo", pretrained="tiny-base", **SMALL)
    with pytest.raises(UserError, match="unknown inner method 'contrastiv': did you mean 'contrastive'"):
        IterativeLM(inner="contrastiv", pretrained="tiny-base", **SMALL)


def test_another_tokenizer_is_refused(plugin: Any, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "foreign"
    shutil.copytree(catalogue.resolve("tiny-base").pretrained, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second, *_ = vocabulary
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"amateur=.*foreign has another tokenizer than tiny-oracle"):
        plugin(**{**PAIR, "amateur": str(folder)}, **SMALL)


@pytest.mark.full
def test_under_plain_lm_eval_it_runs_resumes_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(tmp_path / "site", monkeypatch)
    discovery.find_plugins.cache_clear()
    path = os.pathsep.join([str(site), str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "LMX_JOURNAL": str(tmp_path / "journal"), "HF_HUB_OFFLINE": "1"}
    program = (
        "from lm_eval.tasks import TaskManager; import lm_eval.evaluator as e; e.add_env_info = lambda _: None;"
        "import json, sys; found = e.simple_evaluate(sys.argv[1], sys.argv[2], tasks=['constraint_tiny'], limit=2,"
        "task_manager=TaskManager(include_defaults=False), bootstrap_iters=0, batch_size=2, device='cpu');"
        "print(json.dumps([[s['resps'][0][0] for s in found['samples']['constraint_tiny']],"
        "found['config']['decoding']['texts_from_journal']]))"
    )

    def run(arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "contrastive", arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)

    first, second = (run("pretrained=tiny-oracle,amateur=tiny-base") for _ in range(2))
    texts, journaled = json.loads(first.stdout.splitlines()[-1])
    assert (len(texts), journaled) == (2, 0)
    assert json.loads(second.stdout.splitlines()[-1]) == [texts, 2]
    wrong = run("pretrained=tiny-oracle,amateur=tiny-base,alfa=1")
    assert wrong.returncode != 0
    assert "unknown --model contrastive argument 'alfa': did you mean 'alpha'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_weights_are_hashed_only_for_a_journal(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmx_models.methods.weights.model_identity", lambda *_: pytest.fail("hashed at load"))
    plugin(**PAIR, **SMALL)
    IterativeLM(inner="contrastive", rounds=0, **PAIR, **SMALL)
