"""The decoder on `tiny-base`, a small model that lmx ships, through the real scheduler: offline, in seconds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import lmx_tasks
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lmx_files.errors import UserError
from lmx_models.autoregressive import AutoregressiveLM
from lmx_models.harness.decoder_lm import DecoderLM

from my_decoder.model import MyDecoderLM

DATA = Path(lmx_tasks.__file__).parent / "constraint_tiny" / "data" / "tiny.jsonl"
PROMPTS = [json.loads(line)["prompt"] for line in DATA.read_text(encoding="utf-8").splitlines()[:6]]


def load(model: type[DecoderLM] = MyDecoderLM, batch_size: int = 4, **settings: Any) -> DecoderLM:
    return model(pretrained="tiny-base", device="cpu", batch_size=batch_size, **settings)


def write(model: DecoderLM, **gen_kwargs: Any) -> list[Any]:
    gen_kwargs = {"until": [], "max_gen_toks": 24, **gen_kwargs}
    requests = [
        # The task and the document's number by name for lm_eval 0.5, in `metadata` for 0.4.
        Instance(
            "generate_until", {}, (prompt, dict(gen_kwargs)), 0, metadata=("a_task", i, 1), task_name="a_task", doc_id=i
        )
        for i, prompt in enumerate(PROMPTS)
    ]
    texts: list[Any] = model.generate_until(requests, disable_tqdm=True)
    return texts


@pytest.fixture(scope="module")
def four() -> list[Any]:
    """Texts at four rows a forward, with the default settings: four drafts of eight tokens."""
    return write(load())


def test_lm_eval_finds_it_by_name() -> None:
    assert get_model("my_decoder") is MyDecoderLM


def test_the_batch_does_not_change_a_text(four: list[Any]) -> None:
    assert write(load(batch_size=1)) == four


def test_one_greedy_draft_is_plain_decoding() -> None:
    assert write(load(n=1, draft_temperature=0)) == write(load(AutoregressiveLM))


def test_the_most_probable_draft_is_kept() -> None:
    model = load()
    # One block holds the whole text, and n drafts begin with the same n - 1: one more changes a text only by winning.
    by_n = [write(model, n=n, block=24) for n in (1, 2, 3, 4)]
    for fewer, more in itertools.pairwise(by_n):
        for before, after in zip(fewer, more, strict=True):
            (scores,) = after.trace.extra["scores"]
            assert (after != before) == (scores[-1] > max(scores[:-1]))
    assert by_n[0] != by_n[-1]


def test_traces_count_what_was_thrown_away(four: list[Any]) -> None:
    for text in four:
        trace = text.trace
        blocks = len(trace.extra["scores"])
        assert trace.kept <= 24
        assert trace.by_source() == {"my_decoder": trace.kept}
        assert 3 * blocks <= trace.dropped <= 3 * 8 * blocks
        # Every draft's first token needs no forward of its own, and the kept draft is fed once more.
        assert trace.forwards == trace.kept + trace.dropped - 4 * blocks + blocks


def test_generation_arguments_overrule_model_arguments() -> None:
    assert write(load(), n=1, draft_temperature=0) == write(load(n=1, draft_temperature=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number of at least 1"),
        ({"draft_temperature": 0}, "makes all n=4 drafts the same"),
        ({"draft_temperature": -1}, "must be 0"),
        ({"bloc": 8}, "did you mean 'block'"),
    ],
)
def test_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(**settings)
