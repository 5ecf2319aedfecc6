"""What `lmx new` writes: each kind generated, built, installed from its wheel, tested and run by lm_eval."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.environments import ROOT, Environment, build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.full]

KINDS = ("task", "model", "metric", "decoder")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with lmx from its wheel and, made by that lmx, a package of each kind."""
    wheels = tmp_path_factory.mktemp("wheels")
    env = Environment.create(tmp_path_factory.mktemp("new"))
    env.install(build_wheel(ROOT, wheels))
    for kind in KINDS:
        done = env.run("lmx", "new", kind, f"fresh-{kind}")
        assert done.returncode == 0, done.stderr
    done = env.run("lmx", "new", "decoder", "fresh-pair", "--two-models")
    assert done.returncode == 0, done.stderr
    env.install(*(build_wheel(env.work / f"fresh-{name}", wheels) for name in (*KINDS, "pair")))
    return env


def results(env: Environment, out: str) -> dict[str, Any]:
    """Return the results file under an output folder."""
    (path,) = env.work.glob(f"{out}/*/results_*.json")
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    """Fail with what a command printed unless it succeeded."""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_each_brings_tests_that_pass(env: Environment) -> None:
    # From the folder above them: what is tested are the installed packages.
    succeeded(env.run("python", "-m", "pytest", "-q", *(f"fresh-{name}/tests" for name in (*KINDS, "pair"))))
    for kind in KINDS:
        assert (env.site / f"fresh_{kind}").is_dir()


def test_lm_eval_runs_the_new_model_on_the_new_task_and_metric(env: Environment) -> None:
    example = Path("fresh-metric", "tests", "fresh_metric_example.yaml")
    done = env.run(
        *("lm_eval", "--model", "fresh_model", "--tasks", f"fresh_task,{example}", "--limit", "2"),
        *("--output_path", "model", "--log_samples"),
    )
    succeeded(done)
    found = results(env, "model")
    assert found["results"]["fresh_task"]["exact_match,none"] == 0
    assert found["results"]["fresh_task"]["sample_len"] == 2
    assert found["results"]["fresh_metric_example"]["fresh_metric,none"] == 0
    assert found["config"]["decoding"]["texts"] == 4
    assert "fresh_task" in env.run("lmx", "ls", "tasks").stdout


def test_lm_eval_runs_the_new_decoder(env: Environment) -> None:
    done = env.run(
        *("lm_eval", "--model", "fresh_decoder", "--model_args", "pretrained=tiny-base,n=3,block=4", "--limit", "2"),
        *("--tasks", "constraint_tiny", "--apply_chat_template", "--output_path", "decoder", "--log_samples"),
        *("--device", "cpu", "--batch_size", "2"),
    )
    succeeded(done)
    found = results(env, "decoder")
    decoding = found["config"]["decoding"]
    assert decoding["method"] == "fresh_decoder"
    assert (decoding["settings"]["n"], decoding["settings"]["block"]) == (3, 4)
    assert decoding["tokens_by_source"] == {"fresh_decoder": decoding["tokens_kept"]}
    assert decoding["tokens_dropped"] > decoding["tokens_kept"]
    assert found["results"]["constraint_tiny"]["stop_unknown,none"] == 0


GRAPH = """nodes:
  draft: {model: tiny-oracle, method: fresh_pair, amateur: tiny-base, prompt: "{prompt}"}
  answer: {model: tiny-base, method: ar, prompt: "{prompt} {draft}"}
"""


def test_the_decoder_of_two_models_runs_alone_and_inside_others(env: Environment) -> None:
    (env.work / "graph.yaml").write_text(GRAPH)
    pair = "pretrained=tiny-oracle,amateur=tiny-base,alpha=0.2"

    def run(model: str, arguments: str) -> subprocess.CompletedProcess[str]:
        return env.run(
            *("lm_eval", "--model", model, "--model_args", arguments, "--tasks", "constraint_tiny", "--limit", "2"),
            *("--output_path", f"pair_{model}", "--log_samples", "--device", "cpu", "--batch_size", "2"),
        )

    for model, arguments in (
        ("fresh_pair", pair),
        ("iterative", f"inner=fresh_pair,rounds=1,{pair}"),
        ("hybrid", "graph=graph.yaml,draft_alpha=0.2"),
    ):
        succeeded(run(model, arguments))
        decoding = results(env, f"pair_{model}")["config"]["decoding"]
        assert decoding["texts"] == 2
        assert {"expert", "amateur"} <= {name.rpartition(".")[2] for name in decoding["models"]}
    wrong = run("fresh_pair", f"{pair},alfa=1")
    assert wrong.returncode != 0
    assert "unknown --model fresh_pair argument 'alfa': did you mean 'alpha'" in wrong.stderr
