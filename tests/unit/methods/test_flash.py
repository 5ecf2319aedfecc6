"""A method that says `flash` has flash-attention by `attn=`, whatever its name: alone and as a stage of others."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from lmx_files.errors import UserError
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.engine import flash_attention
from lmx_models.engine.slot_attention import plain_attention
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.method import Method
from lmx_models.methods.model import MethodLM
from lmx_models.methods.registry import METHODS
from tests.unit.models.test_decoder_lm import FAST, requests

SMALL = {**FAST, "self_check": False}


def _start(request: Any, weights: Any) -> Any:
    return autoregressive(request.prompt, "writer", request.sampling, request.stopping, request.rng("sample"))


class CausalLM(MethodLM):
    """As a plugin's: two models, of which the first writes."""

    described: ClassVar[Method] = Method("causal", _start, ("writer", "other"), flash=True)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let flash-attention be there, as PyTorch's own kernels; return what counts its calls."""
    monkeypatch.setitem(METHODS, "causal", CausalLM.described)
    monkeypatch.setattr(flash_attention, "choose", lambda attn, *_: "sdpa" if attn == "sdpa" else "flash")
    calls: list[int] = []
    monkeypatch.setattr(
        flash_attention, "rows_varlen", lambda *args: (calls.append(len(args[3].spans)), plain_attention(*args))[1]
    )
    return calls


def write(lm: Any) -> list[str]:
    return lm.generate_until(requests(n=2, max_gen_toks=4), disable_tqdm=True)


def test_alone_and_inside_others_a_method_that_says_so_has_it(used: list[int]) -> None:
    pair = {"pretrained": "tiny-base", "other": "tiny-oracle"}
    plain = write(AutoregressiveLM(pretrained="tiny-base", **SMALL))
    lm = CausalLM(**pair, **SMALL)
    assert write(lm) == plain
    assert used
    assert lm.describe()["attn"] == lm.identity(lm.settings)["attn"] == "flash"
    used.clear()
    assert write(IterativeLM(inner="causal", rounds=0, **pair, **SMALL)) == plain
    assert used
    used.clear()
    without = CausalLM(**pair, attn="sdpa", **SMALL)
    assert write(without) == plain
    assert without.describe()["attn"] == "sdpa"
    assert write(IterativeLM(inner="ar", rounds=0, pretrained="tiny-base", **SMALL)) == plain
    assert not used


def test_a_method_that_does_not_say_so_takes_no_attn() -> None:
    with pytest.raises(UserError, match="unknown --model ar argument 'attn'"):
        AutoregressiveLM(pretrained="tiny-base", attn="sdpa", **SMALL)
    with pytest.raises(UserError, match="did you mean 'flash'"):
        CausalLM(pretrained="tiny-base", other="tiny-oracle", attn="flsh", **SMALL)
