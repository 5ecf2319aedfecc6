"""Arguments of lm_eval's `hf`, and its seeds, are read as strictly as ours."""

import pytest

import lmx_models.harness.decoder_lm as decoder_lm
from lmx_files.errors import UserError
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.settings.requests import read_generation
from lmx_plugins.evaluation.asked import announced

FAST = {"device": "cpu", "batch_size": 4, "self_check": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"self_check": "maybe"}, "self_check='maybe' is not a true/false value"),
        ({"parallelize": "ten"}, "parallelize='ten' is not a true/false value"),
        ({"add_bos_token": 2}, "add_bos_token=2 is not a true/false value"),
        ({"logits_cache": None}, "logits_cache=None is not a true/false value"),
        ({"max_length": "ten"}, "max_length='ten' is not a whole number"),
        ({"max_length": 0}, "max_length=0 must be a whole number of at least 1"),
        ({"prefix_token_id": 1.5}, "prefix_token_id=1.5 is not a whole number"),
        ({"batch_size": "ten"}, "batch_size='ten' is neither"),
        ({"batch_size": 0}, "batch_size=0 is neither"),
        ({"batch_size": "auto:x"}, "batch_size='auto:x' is neither"),
        ({"dtype": "float23"}, "unknown dtype 'float23': did you mean 'float32'"),
    ],
)
def test_arguments_of_hf_are_read_before_weights(arguments, message, monkeypatch):
    monkeypatch.setattr(decoder_lm.catalogue, "resolve", lambda *_, **__: pytest.fail("looked for weights"))
    with pytest.raises(UserError, match=message):
        AutoregressiveLM(pretrained="tiny-base", **{**FAST, **arguments})


def test_arguments_of_hf_in_the_spellings_of_a_command_line():
    lm = AutoregressiveLM(
        pretrained="tiny-base", device="cpu", self_check="no", max_length="64", parallelize="off", truncation="none"
    )
    assert lm.engine_difference is None
    assert (lm.max_length, lm.truncation) == (64, None)


def test_a_negative_temperature_is_not_greedy():
    with pytest.raises(UserError, match=r"temperature=-1\.0 must be 0"):
        read_generation({"temperature": -1}, 8)


def test_a_negative_seed_of_lm_eval_is_refused():
    with announced(seed=-1), pytest.raises(UserError, match="--seed=-1 must be a whole number of at least 0"):
        AutoregressiveLM(pretrained="tiny-base", **FAST)
