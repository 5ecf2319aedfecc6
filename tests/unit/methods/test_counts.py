"""What a method counts of its texts is its own: summed over a run, by stage inside others, told by its summary."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from lmx_models.core.base import Feed, Generation, Segment
from lmx_models.guided.model import GuidedLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.method import Method
from lmx_models.methods.model import MethodLM
from lmx_models.methods.registry import METHODS
from lmx_models.records.traces import RunStatistics
from tests.unit.models.test_decoder_lm import FAST, requests

SMALL = {**FAST, "self_check": False}


def _start(request: Any, weights: Any) -> Any:
    yield Feed("counting", request.prompt)
    tokens = list(request.prompt[:3])
    return Generation(tokens, [Segment("counting", 0, len(tokens))], "length", extra={"drafts": [4, 5]})


def _summary(run: RunStatistics) -> dict[str, float]:
    return {"drafts_per_text": run.counts["drafts"] / run.texts}


class CountingLM(MethodLM):
    """As a plugin's, which counts drafts."""

    described: ClassVar[Method] = Method(
        "counting", _start, counts=lambda extra: {"drafts": len(extra["drafts"])}, summary=_summary
    )


def test_a_plugin_counts_as_guided_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "counting", CountingLM.described)
    lm = CountingLM(pretrained="tiny-base", **SMALL)
    lm.generate_until(requests(n=3), disable_tqdm=True)
    info = lm.get_model_info()["decoding"]
    assert info["drafts_per_text"] == 2
    assert "consultations" not in info
    lm.generate_until(requests(n=1), disable_tqdm=True)
    assert lm.get_model_info()["decoding"]["drafts_per_text"] == 2, "sums of texts and of counts go together"
    inside = IterativeLM(inner="counting", rounds=0, pretrained="tiny-base", **SMALL)
    inside.generate_until(requests(n=3), disable_tqdm=True)
    assert inside.get_model_info()["decoding"]["stages"]["draft"]["drafts"] == 6


def test_what_guided_tells_stands_where_it_stood() -> None:
    """At the end of the decoding's facts, consultations before the oracle's share; nothing if it was never asked."""
    pair = {"pretrained": "tiny-base", "oracle": "tiny-oracle", **SMALL}
    lm = GuidedLM(policy="fixed", every=3, k=2, **pair)
    texts = lm.generate_until(requests(n=2), disable_tqdm=True)
    info = lm.get_model_info()["decoding"]
    assert list(info)[-2:] == ["consultations", "oracle_share"]
    assert info["consultations"] == sum(len(text.trace.extra["consultations"]) for text in texts) > 0
    never = GuidedLM(c=0, **pair)
    never.generate_until(requests(n=1), disable_tqdm=True)
    assert not {"consultations", "oracle_share"} & set(never.get_model_info()["decoding"])
