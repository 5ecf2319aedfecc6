"""Methods as parts of larger ones write what they write alone; their settings are checked by name."""

import json
import shutil

import pytest

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.methods.method import check_settings, plain_settings
from lmx_models.methods.registry import method_named
from lmx_models.methods.wedlm import WeDLM
from lmx_models.zoo import catalogue
from tests.unit.models.test_decoder_lm import FAST, requests

SMALL = {**FAST, "self_check": False}
ALONE = {
    "ar": (AutoregressiveLM, {"pretrained": "tiny-base"}),
    "guided": (GuidedLM, {"pretrained": "tiny-base", "oracle": "tiny-oracle", "policy": "random", "prob": 0.3, "k": 3}),
    "wedlm": (WeDLM, {"pretrained": "tiny-oracle", "lambda": 0.1, "tau": 2.0, "window": 5}),
    "mdlm": (MaskedDiffusionLM, {"pretrained": "tiny-oracle", "threshold": 0.3, "block_length": 7}),
    "bd3lm": (BlockDiffusionLM, {"pretrained": "tiny-oracle", "steps": 9, "block_length": 7, "shift": True}),
}


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", ALONE)
def test_a_method_inside_another_one_writes_what_it_writes_alone(name, temperature):
    """Without rounds, `--model iterative` is its inner method, random numbers included."""
    model, arguments = ALONE[name]
    todo = requests(n=4, do_sample=temperature > 0, temperature=temperature)
    alone = model(**arguments, **SMALL).generate_until(todo, disable_tqdm=True)
    lm = IterativeLM(inner=name, rounds=0, **arguments, **SMALL)
    inside = lm.generate_until(todo, disable_tqdm=True)
    assert inside == alone
    for one, other in zip(inside, alone, strict=True):
        assert one.trace.tokens == other.trace.tokens
        assert one.trace.finish == other.trace.finish
        assert one.trace.forwards == other.trace.forwards
        assert one.trace.fed == other.trace.fed
        assert one.trace.dropped == other.trace.dropped
        assert one.trace.extra["rounds"][0]["written"]["extra"] == other.trace.extra


@pytest.fixture
def family(tmp_path):
    """Return a function that copies a tiny model as one of a diffusion family, which transformers does not know."""

    def copy(model_type: str) -> str:
        folder = tmp_path / model_type
        shutil.copytree(catalogue.resolve("tiny-oracle").pretrained, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
        return str(folder)

    return copy


def test_a_model_of_a_family_is_read_as_the_family_says(family):
    """As the only model and as one that a graph loads beside the first; `prefill` follows the family too."""
    name = family("a2d-qwen3")
    todo = requests(n=2)
    alone = BlockDiffusionLM(pretrained=name, block_length=5, **SMALL).generate_until(todo, disable_tqdm=True)
    other = BlockDiffusionLM(pretrained=name, block_length=5, prefill="whole", **SMALL)
    assert other.generate_until(todo, disable_tqdm=True) != alone  # so the test can tell
    inside = IterativeLM(pretrained=name, inner="bd3lm", rounds=0, block_length=5, **SMALL)
    assert inside.generate_until(todo, disable_tqdm=True) == alone
    graph = {"preset": "diffusion_to_ar", "ar": "tiny-base", "diffusion": name, "diffusion_method": "bd3lm"}
    drafts = HybridLM(**graph, draft_block_length=5, **SMALL).generate_until(todo, disable_tqdm=True)
    records = [text.trace.extra["stages"][0] for text in drafts]
    assert [record["text"] for record in records] == alone
    assert records[0]["settings"]["prefill"] is None


def test_a_stage_of_wedlm_has_the_window_of_its_model():
    todo = requests(n=2)
    alone = WeDLM(pretrained="tiny-wedlm", **SMALL).generate_until(todo, disable_tqdm=True)
    for settings in ({}, {"window": 3}):
        inside = IterativeLM(pretrained="tiny-wedlm", inner="wedlm", rounds=0, **settings, **SMALL)
        texts = inside.generate_until(todo, disable_tqdm=True)
        same = [text.trace.forwards for text in texts] == [text.trace.forwards for text in alone]
        assert same == (not settings)


def test_models_that_a_method_cannot_use_are_refused(family):
    causal = family("wedlm")
    for method in ("mdlm", "bd3lm"):
        with pytest.raises(UserError, match=f"inner={method}: WeDLM models fill masks under causal attention"):
            IterativeLM(pretrained=causal, inner=method, **SMALL)
    with pytest.raises(UserError, match="node 'answer': mask_id=99999 lies outside"):
        HybridLM(preset="ar_to_diffusion", ar="tiny-base", diffusion="tiny-oracle", answer_mask_id=99999, **SMALL)


def test_settings_are_dumped_under_the_names_that_users_write():
    assert method_named("wedlm").fields({"lambda": 0.1, "tau": 1}) == {"distance": 0.1, "tau": 1}
    plain = plain_settings(method_named("wedlm"), {"lambda": 0.3, "tau": float("inf"), "temperature": 0.5})
    assert (plain["lambda"], plain["tau"], plain["temperature"], plain["window"]) == (0.3, "inf", 0.5, None)
    assert "distance" not in plain


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("ar", {"tau": 1}, "unknown setting of here: 'tau'"),
        ("ar", {"temprature": 1}, "did you mean 'temperature'"),
        ("wedlm", {"distance": 1}, "unknown setting of here: 'distance'"),
        ("wedlm", {"window": 0}, "here: window=0"),
        ("wedlm", {"verify": "ar", "temperature": 0.5}, "verify=ar writes the text of greedy decoding"),
        ("mdlm", {"steps": 0}, "here: steps=0"),
        ("bd3lm", {"block_length": None}, "here: block_length=None"),
        ("guided", {"policy": "entropi"}, "did you mean 'entropy'"),
    ],
)
def test_bad_settings(method, settings, message):
    with pytest.raises(UserError, match=message):
        check_settings(method_named(method), settings, "here")


def test_unknown_methods():
    with pytest.raises(UserError, match="unknown inner method 'wdlm': did you mean 'wedlm'"):
        method_named("wdlm", "inner method")
