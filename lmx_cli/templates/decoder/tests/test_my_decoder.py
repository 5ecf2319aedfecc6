"""The decoder without weights, in milliseconds; then on `tiny-base`, which lmx ships: offline, in seconds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from lm_eval.api.registry import get_model
from lmx_models.api import MethodLM, UserError, drive_method, made_up, texts_of

from my_decoder.decoding import MODEL
from my_decoder.model import METHOD, MyDecoderLM

PROMPTS = ["Write a short list of rules for a kitchen.", "Goal:", "Once upon a time", "The plan has three parts:"]


def load(model: type[MethodLM] = MyDecoderLM, batch_size: int = 4, **settings: Any) -> MethodLM:
    return model(pretrained="tiny-base", device="cpu", batch_size=batch_size, **settings)


def write(model: MethodLM, **gen_kwargs: Any) -> list[Any]:
    return texts_of(model, PROMPTS, **gen_kwargs)


def test_without_weights_one_greedy_draft_takes_the_most_probable_token() -> None:
    model = made_up("a model")
    written, fed = drive_method(METHOD, {MODEL: model}, prompt=[7, 8], n=1, draft_temperature=0)
    seen = [7, 8]
    for token in written.tokens:
        assert token == int(model(seen).argmax())
        seen.append(token)
    assert fed[MODEL] >= len(seen) - 1


def test_without_weights_the_same_seed_writes_the_same_text() -> None:
    one, again, other = (drive_method(METHOD, {MODEL: made_up("m")}, seed=seed)[0] for seed in (1, 1, 2))
    assert one == again
    assert one.tokens != other.tokens


@pytest.fixture(scope="module")
def four() -> list[Any]:
    """Texts at four rows a forward, with the default settings: four drafts of eight tokens."""
    return write(load())


def test_lm_eval_finds_it_by_name() -> None:
    assert get_model("my_decoder") is MyDecoderLM


def test_the_batch_does_not_change_a_text(four: list[Any]) -> None:
    assert write(load(batch_size=1)) == four


def test_one_greedy_draft_is_plain_decoding() -> None:
    assert write(load(n=1, draft_temperature=0)) == write(load(get_model("ar")))


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
