"""A sweep's slips are found before its first arm runs."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_models.harness.trial import try_arguments

TINY = {"pretrained": "tiny-base", "oracle": "tiny-oracle"}
ON_SERVER = {"pretrained": "openai:http://127.0.0.1:9/v1#m", "oracle": "tiny-oracle"}


@pytest.mark.parametrize(
    ("model", "arguments", "gen_kwargs", "message"),
    [
        ("guided", {**TINY, "polcy": "ramp"}, None, "unknown --model guided argument 'polcy': did you mean 'policy'"),
        ("guided", {**ON_SERVER, "polcy": "ramp"}, None, "unknown --model guided argument 'polcy'"),
        ("guided", {**TINY, "policy": "rampp"}, None, "unknown policy 'rampp': did you mean 'ramp'"),
        ("guided", {**TINY, "oracle": "/no/such/folder"}, None, "no model '/no/such/folder': no such folder"),
        ("ar", {"pretrained": "./nowhere"}, None, "no model './nowhere'"),
        ("ar", {"pretrained": "tiny-base"}, {"temprature": 1}, "unknown generation argument"),
        ("ar", {"pretrained": "tiny-base"}, {"max_gen_toks": 10.5}, "max_gen_toks=10.5"),
        ("wedlm", {"pretrained": "tiny-wedlm", "tauu": 1}, None, "unknown --model wedlm argument 'tauu'"),
        ("iterative", {"pretrained": "tiny-base", "inner": "arr"}, None, "arr"),
        ("scripted", {"txt": "x"}, None, "unknown --model scripted argument 'txt'"),
        ("hf", {"pretrained": "/no/such/folder"}, None, "there is no such folder"),
        ("hf", {}, None, "--model hf needs pretrained="),
        ("hf", {"pretraind": "tiny-base"}, None, "unknown --model hf argument 'pretraind': did you mean 'pretrained'?"),
        ("hf", {"pretrained": "x/y", "dtpe": "float32"}, None, "did you mean 'dtype'"),
        ("hf", {"pretrained": "x/y", "tokenizer": "./nowhere"}, None, "tokenizer=./nowhere: there is no such folder"),
        ("hf", {"pretrained": "x/y", "peft": "/nowhere/adapter"}, None, "peft=/nowhere/adapter"),
        ("hf", {"pretrained": "x/y", "batch_size": "x"}, None, "batch_size='x' is neither"),
        ("ar", {"pretrained": "tiny-base", "batch_size": "x"}, None, "batch_size='x' is neither"),
        (
            "ar",
            {"pretrained": "tiny-base", "tokenizer": "./nowhere"},
            None,
            "tokenizer=./nowhere: there is no such folder",
        ),
    ],
)
def test_what_a_model_refuses_is_told_without_weights(model, arguments, gen_kwargs, message):
    with pytest.raises(UserError) as caught:
        try_arguments(model, arguments, gen_kwargs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("guided", {**TINY, "policy": "entropy", "threshold": 2.0}),
        ("guided", {"pretrained": "someone/a-model", "oracle": "openai:http://127.0.0.1:9#big"}),
        ("guided", ON_SERVER),
        ("ar", {"pretrained": "smollm2-360m"}),
        ("hybrid", {"preset": "ar_to_diffusion", "ar": "tiny-base", "diffusion": "tiny-wedlm"}),
        ("hf", {"pretrained": "gpt2", "any": "thing"}),
        ("local-completions", {"base_url": "http://127.0.0.1:9"}),
    ],
)
def test_what_is_right_passes_without_weights_and_network(model, arguments, monkeypatch):
    from transformers import PreTrainedModel

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights were loaded"))
    try_arguments(model, arguments)


def test_a_dry_run_names_the_arm_and_the_slip(tmp_path):
    sweep = {
        "name": "s",
        "output_path": str(tmp_path / "out"),
        "defaults": {"tasks": ["constraint_tiny"]},
        "arms": [
            {"name": "good", "model": "scripted"},
            {"name": "bad", "model": "scripted", "model_args": {"txt": "x"}},
        ],
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    done = CliRunner().invoke(app, ["sweep", str(path), "--dry-run"])
    assert "arm bad: unknown --model scripted argument 'txt'" in str(done.exception)
    assert not list((tmp_path / "out").glob("arms/*"))


def test_a_flag_of_the_arm_is_tried_with_the_models_arguments(tmp_path):
    path = tmp_path / "sweep.yaml"
    arm = {
        "name": "a",
        "model": "ar",
        "model_args": {"pretrained": "tiny-base"},
        "tasks": ["constraint_tiny"],
        "batch_size": "x",
    }
    path.write_text(yaml.safe_dump({"name": "s", "output_path": str(tmp_path / "out"), "arms": [arm]}))
    with pytest.raises(UserError, match="arm a: batch_size='x' is neither"):
        CliRunner().invoke(app, ["sweep", str(path), "--dry-run"], catch_exceptions=False)


def test_what_hf_hands_on_is_not_refused():
    try_arguments(
        "hf", {"pretrained": "x/y", "attn_implementation": "sdpa", "low_cpu_mem_usage": True, "batch_size": "auto:4"}
    )
    try_arguments("dummy", {"anything": 1})
