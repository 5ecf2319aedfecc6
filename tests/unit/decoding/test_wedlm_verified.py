"""WeDLM: verification, ends of texts, limits, settings."""

import math

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Segment
from lmx_models.core.driver import drive, made_up
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, wedlm
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import EOS, VOCABULARY, stopping, text_of
from tests.unit.decoding.wedlm_tools import (
    DEFAULT,
    EAGER,
    GREEDY,
    MASK,
    PROMPTS,
    VERIFIED,
    greedy_text,
    run,
    scripted,
)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("tau", [None, 1.8, math.inf])
def test_verified_texts_are_those_of_greedy_ar(models, architecture, tau):
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 12, (30,), generator=generator).tolist()
    prompts = [torch.randint(1, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]
    model = models[architecture]
    expected = greedy_text(model, prompts)
    got = run(model, WeDLMConfig(window=5, tau=tau, verify="ar"), prompts, rows=8)
    for (generation, cost), plain in zip(got, expected, strict=True):
        assert (generation.tokens, generation.finish) == (plain.tokens, plain.finish)
        assert cost.forwards <= len(plain.tokens)
        assert generation.extra["ar_logprob_tokens"] == len(plain.tokens)


def test_verification_saves_forwards_where_the_masks_guess_right():
    """A 'model' that at a mask predicts what plain decoding would write there: every forward fills a window."""

    def logits(history):
        real = [token for token in history if token != MASK]
        out = torch.full((VOCABULARY,), -20.0)
        out[(len(history) if history[-1] == MASK else len(real) + 1) % 40 + 1] = 20.0
        return out

    decoding = wedlm([2], "m", MASK, WeDLMConfig(window=8, verify="ar"), GREEDY, stopping(40), stream(0))
    generation, _ = drive(decoding, {"m": logits})
    assert generation.tokens == [n % 40 + 1 for n in range(2, 42)]
    assert len(set(generation.extra["steps"])) <= 6
    assert generation.dropped == 0


def test_a_refused_token_is_replaced_and_all_behind_it_masked_again():
    """Masks always guess 7, plain decoding writes 3: each forward keeps one token and throws the guesses away."""

    def logits(history):
        out = torch.zeros(VOCABULARY)
        out[7 if history[-1] == MASK else 3] = 50.0
        return out

    decoding = wedlm([2], "m", MASK, WeDLMConfig(window=4, verify="ar"), GREEDY, stopping(9), stream(0))
    generation, _ = drive(decoding, {"m": logits})
    assert generation.tokens == [3] * 9
    assert generation.extra["steps"] == list(range(1, 10))
    assert generation.dropped > 0


def test_an_end_of_text_in_the_window_ends_it_when_all_before_is_filled():
    # Places 1.. are the answer; 4 is an end of text, 2 stays open at first, 5 and 6 are sure too and must go.
    places = {1: 10, 3: 11, 4: EOS, 5: 12, 6: 13}
    feeds = []
    decoding = wedlm([2], "m", MASK, WeDLMConfig(window=6, distance=0), GREEDY, stopping(), stream(0))
    feed = next(decoding)
    while True:
        feeds.append(feed)
        positions = feed.positions or range(feed.at, feed.at + len(feed.tokens))
        rows = [scripted(places)["m"]([0] * (place + 1)) for place in positions]
        try:
            feed = decoding.send(torch.stack(rows)[len(rows) - feed.logits :])
        except StopIteration as end:
            generation = end.value
            break
    assert generation.tokens == [10, 9, 11, EOS]
    assert generation.finish == "eos"
    assert generation.dropped == 2
    # The second forward feeds the three that stay and the one open place: no mask behind the end.
    assert list(feeds[1].positions) == [1, 3, 4, 2]


def test_every_end_of_text_id_counts(models):
    eos = frozenset({EOS, 17, 23})
    stop = stopping(60)
    object.__setattr__(stop, "eos", eos)
    for config in (EAGER, VERIFIED):
        for generation, _ in run(models["llama"], config, stop=stop):
            inside = [token for token in generation.tokens[:-1] if token in eos]
            assert not inside
            assert (generation.finish == "eos") == (generation.tokens[-1] in eos)


@pytest.mark.parametrize("config", [EAGER, VERIFIED, DEFAULT])
def test_stop_strings_end_a_text_inside_the_window(models, config):
    free = [text_of(generation.tokens) for generation, _ in run(models["qwen3"], config)]
    for at in (0, 3, 7):
        wanted = tuple({text[at : at + 2] for text in free if len(text) >= at + 2})
        stop = stopping(strings=wanted)
        for (generation, cost), text in zip(run(models["qwen3"], config, stop=stop), free, strict=True):
            cut = min((text.find(string) for string in wanted if string in text), default=len(text))
            assert stop.text(generation.tokens) == text[:cut]
            if cut < len(text):
                assert generation.finish == "stop"
                assert len(generation.tokens) == cut + 2
                # None after it was complete; with verify, one may have to confirm the last token.
                assert 0 <= cost.forwards - max(generation.extra["steps"]) <= (config.verify is not None)


@pytest.mark.parametrize("limit", [1, 2, 3, 15])
@pytest.mark.parametrize("config", [DEFAULT, EAGER, VERIFIED, WeDLMConfig(window=100, tau=math.inf)])
def test_the_window_never_runs_past_the_limit(models, limit, config):
    model, places = models["llama"], []
    decoding = wedlm(PROMPTS[0], "m", MASK, config, GREEDY, stopping(limit), stream(0))
    step = StepModel(model, 1)
    step.open(0)
    feed = next(decoding)
    while True:
        places += feed.positions or range(feed.at, feed.at + len(feed.tokens))
        (logits,), _ = step.step([(0, feed)])
        try:
            feed = decoding.send(logits)
        except StopIteration as end:
            generation = end.value
            break
    assert max(places) < len(PROMPTS[0]) + limit
    assert len(generation.tokens) == limit or generation.finish == "eos"
    assert generation.dropped == 0 or config.verify or generation.finish == "eos"


def test_the_mask_is_never_written_and_its_id_in_a_prompt_is_a_token():
    """The mask token is by far the likeliest everywhere; without `verify` it must not be taken for a token."""

    def logits(history):
        out = made_up("m", end_bias=-99)(history)
        out[MASK] += 30
        return out

    for temperature in (0.0, 1.0):
        decoding = wedlm([MASK, 3], "m", MASK, EAGER, Sampling(temperature), stopping(20), stream(0))
        generation, _ = drive(decoding, {"m": logits})
        assert MASK not in generation.tokens
        assert len(generation.tokens) == 20
    # Verified texts are greedy autoregression's, which is free to write it; it is then a token like any other.
    decoding = wedlm([3], "m", MASK, VERIFIED, GREEDY, stopping(5), stream(0))
    assert drive(decoding, {"m": logits})[0].tokens == [MASK] * 5


def test_trace(models):
    for config in (EAGER, VERIFIED):
        for generation, cost in run(models["qwen3"], config):
            steps = generation.extra["steps"]
            assert len(steps) == len(generation.tokens)
            assert 1 <= min(steps) <= max(steps) <= cost.forwards
            assert generation.segments == [Segment("wedlm", 0, len(steps))]


def test_the_penalty_favours_what_is_near():
    far, near = (
        drive(
            wedlm([2], "m", MASK, WeDLMConfig(distance=d), Sampling(), stopping(16), stream(0)),
            {"m": made_up("m", end_bias=-99)},
        )[0].extra["steps"]
        for d in (0.0, 10.0)
    )
    assert near == list(range(1, 17))
    assert far != near


def test_a_prompt_without_tokens_is_refused():
    with pytest.raises(ValueError, match="at least one token"):
        next(wedlm([], "m", MASK, DEFAULT, GREEDY, stopping(), stream(0)))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"window": 0}, "window=0"),
        ({"tau": -0.1}, r"tau=-0.1.*None"),
        ({"distance": -1.0}, "lambda=-1"),
        ({"distance": math.inf}, "lambda=inf"),
        ({"verify": "arr"}, "did you mean 'ar'"),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(UserError, match=message):
        WeDLMConfig(**bad)
