"""``record=``: what is kept while a text is written is what a reading of that text finds."""

from __future__ import annotations

import math

import pytest
import torch
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.core.recording import Recorder, read_record
from lmx_models.guided.model import GuidedLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.methods.wedlm import WeDLM
from lmx_probes import models, scores
from lmx_probes.reader import Reader, Text

PROMPT = "Plan a party:\n"


def write(lm, tokens=12):
    request = Instance("generate_until", {}, (PROMPT, {"until": [], "max_gen_toks": tokens}), 0, metadata=("t", 0, 1))
    return lm.generate_until([request], disable_tqdm=True)[0].trace


def read(name: str, prompt: list[int], answer: list[int]):
    probe = models.load(name, device="cpu", check=False)
    text = Text([*prompt, *answer], range(len(prompt) - 1, len(prompt) + len(answer) - 1))
    [(_, hidden)] = Reader(probe).read([text])
    return scores.score(probe.head, hidden, torch.tensor(answer))[0]


def test_an_autoregressive_text_records_what_a_reading_finds():
    lm = AutoregressiveLM(pretrained="tiny-base", device="cpu", record="all")
    trace = write(lm)
    recorded = trace.extra["recorded"]
    assert list(recorded) == list(scores.COLUMNS)
    found = read("tiny-base", lm.prompt_tokens(PROMPT), trace.tokens)
    for name in scores.COLUMNS:
        assert recorded[name] == pytest.approx(found[name].tolist(), abs=1e-5), name
    assert sum(cost.forwards for cost in trace.cost.values()) == len(trace.tokens)


def test_guided_records_each_token_by_the_model_that_wrote_it():
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", device="cpu", policy="random", share=0.5, k=3, c=2,
                  record="entropy+logprob")  # fmt: skip
    trace = write(lm, 16)
    prompt = lm.prompt_tokens(PROMPT)
    by_source = {"base": read("tiny-base", prompt, trace.tokens), "oracle": read("tiny-oracle", prompt, trace.tokens)}
    assert {segment.source for segment in trace.segments} == {"base", "oracle"}
    for segment in trace.segments:
        for name in ("entropy", "surprisal"):
            expected = by_source[segment.source][name][segment.start : segment.end].tolist()
            assert trace.extra["recorded"][name][segment.start : segment.end] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("cls", "name", "settings"),
    [(MaskedDiffusionLM, "tiny-mdlm", {}), (BlockDiffusionLM, "tiny-bd3lm", {}), (WeDLM, "tiny-wedlm", {})],
)
def test_diffusion_records_every_token_and_writes_the_same_text(cls, name, settings):
    plain = write(cls(pretrained=name, device="cpu", **settings), 16)
    trace = write(cls(pretrained=name, device="cpu", record="entropy+probability", **settings), 16)
    assert trace.tokens == plain.tokens
    assert "recorded" not in plain.extra
    values = trace.extra["recorded"]
    assert all(len(values[key]) == len(trace.tokens) and None not in values[key] for key in values)
    assert all(0 < p <= 1 + 1e-9 for p in values["probability"])
    assert all(0 <= h <= math.log(3000) for h in values["entropy"])


def test_a_place_that_is_written_again_keeps_the_last():
    recorder = Recorder(("entropy", "rank"), vocabulary=3)
    recorder.take(0, torch.tensor([5.0, 0.0, 0.0, 99.0]), 0)
    recorder.take(1, torch.tensor([0.0, -math.inf, 0.0, 99.0]), 2)
    recorder.take(0, torch.zeros(4), 2)
    found = recorder.columns([2, 2, 1])
    assert found["entropy"] == pytest.approx([math.log(3), math.log(2), None], abs=1e-6)
    assert recorder.columns([0, 2])["rank"] == [None, 1]


def test_an_unknown_signal_is_named():
    with pytest.raises(UserError, match="entropi"):
        read_record("entropi")
    assert read_record("logprob,entropy") == ("entropy", "surprisal")
