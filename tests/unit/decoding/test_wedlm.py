"""WeDLM decoding: the cached stream against a full recompute, plain autoregression, and every way a text may end."""

import itertools
import math

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Segment
from lmx_models.core.sampling import Sampling, sample, stream
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, field_names, wedlm
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import EOS, VOCABULARY, drive, hashed, random_model, stopping, text_of
from training.tiny.reference import reference_wedlm

MASK = VOCABULARY - 1
PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4, 9, 11, 13], [21, 2], [6] * 15, [30, 31, 32], [8, 9]]
DEFAULT = WeDLMConfig()
ONE_BY_ONE = WeDLMConfig(tau=None)
EAGER = WeDLMConfig(window=6, tau=1.4, distance=0.01)
VERIFIED = WeDLMConfig(window=6, tau=1.8, verify="ar")
GREEDY = Sampling()


@pytest.fixture(scope="module")
def models():
    """Random models, sharp enough that some masks are surer than others."""
    made = {name: random_model(name) for name in ("llama", "qwen2", "qwen3")}
    for model in made.values():
        model.lm_head.weight.data.mul_(4)
    return made


def run(model, config, prompts=PROMPTS, sampling=GREEDY, stop=None, rows=4):
    """Return the generation and cost of every prompt, through the real scheduler."""
    scheduler = Scheduler({"m": StepModel(model, rows)}, rows)
    stop = stop or stopping()
    jobs = [
        Job(i, lambda i=i, p=p: wedlm(p, "m", MASK, config, sampling, stop, stream(i))) for i, p in enumerate(prompts)
    ]
    finished = {one.key: one for one in scheduler.run(jobs)}
    return [(finished[i].generation, finished[i].cost["m"]) for i in range(len(prompts))]


def greedy_text(model, prompts=PROMPTS, stop=None):
    scheduler = Scheduler({"m": StepModel(model, 8)}, 8)
    stop = stop or stopping()
    jobs = [Job(i, lambda p=p: autoregressive(p, "m", GREEDY, stop, stream(0))) for i, p in enumerate(prompts)]
    finished = {one.key: one.generation for one in scheduler.run(jobs)}
    return [finished[i] for i in range(len(prompts))]


@torch.inference_mode()
def full_forward(model, tokens, positions):
    """Logits of every token, causal in the order given: no cache, no engine."""
    n = len(tokens)
    return model(
        torch.tensor([tokens]),
        position_ids=torch.tensor([positions]),
        attention_mask=torch.ones(1, 1, n, n).tril().bool(),
        use_cache=False,
    ).logits[0]


def recompute(model, prompt, config, sampling=GREEDY, stop=None, seed=0):
    """The published loop, with everything recomputed in each forward; returns tokens, their forwards, and forwards."""
    stop, rng = stop or stopping(), stream(seed)
    text, steps, window, step = [], [], [None] * min(config.window, stop.max_tokens), 0
    while True:
        step += 1
        filled = [i for i, one in enumerate(window) if one is not None]
        masks = [i for i, one in enumerate(window) if one is None]
        tokens = [*prompt, *text, *(window[i][0] for i in filled), *[MASK] * len(masks)]
        known = len(prompt) + len(text)
        positions = [*range(known), *(known + i for i in (*filled, *masks))]
        rows = full_forward(model, tokens, positions)[len(tokens) - len(masks) :]
        entropy = torch.distributions.Categorical(logits=rows).entropy()
        adjusted = {i: float(h) + config.distance * (i - masks[0]) for i, h in zip(masks, entropy, strict=True)}
        below = [i for i in masks if config.tau is not None and adjusted[i] < config.tau]
        for i in below or [min(masks, key=lambda i: adjusted[i])]:
            allowed = rows[masks.index(i)].clone()
            allowed[MASK] = -math.inf
            window[i] = (sample(allowed, sampling, rng), step)
        ends = [i for i, one in enumerate(window) if one and one[0] in stop.eos]
        if ends:
            window = window[: ends[0] + 1]
        while window and window[0] is not None:
            token, at = window.pop(0)
            text.append(token)
            steps.append(at)
            if stop.check(text):
                return text, steps, step
            if not ends and len(text) + len(window) < stop.max_tokens:
                window.append(None)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize(
    ("config", "temperature"),
    [
        (DEFAULT, 0.0),
        (ONE_BY_ONE, 0.0),
        (EAGER, 0.0),
        (EAGER, 1.0),
        (WeDLMConfig(window=1), 1.0),
        (WeDLMConfig(tau=math.inf), 1.0),
    ],
)
def test_the_cached_stream_equals_a_full_recompute(models, architecture, config, temperature):
    model = models[architecture]
    ours = run(model, config, sampling=Sampling(temperature))
    for i, (generation, cost) in enumerate(ours):
        tokens, steps, forwards = recompute(model, PROMPTS[i], config, Sampling(temperature), seed=i)
        assert generation.tokens == tokens
        assert generation.extra["steps"] == steps
        assert cost.forwards == forwards


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_it_equals_the_reference_that_scores_the_tiny_models(models, architecture):
    for i, (generation, cost) in enumerate(run(models[architecture], EAGER)):
        tokens, forwards = reference_wedlm(models[architecture], PROMPTS[i], 40, MASK, {EOS}, 6, 1.4, 0.01)
        assert (generation.tokens, cost.forwards) == (tokens, forwards)


def test_it_fills_out_of_order_and_several_at_once(models):
    """What the comparisons above would not tell if every text came one by one."""
    steps = [generation.extra["steps"] for model in models.values() for generation, _ in run(model, EAGER)]
    assert any(a > b for one in steps for a, b in itertools.pairwise(one))
    assert any(len(set(one)) < len(one) for one in steps)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("config", [EAGER, VERIFIED, ONE_BY_ONE])
def test_committed_keys_and_values_are_those_of_plain_ar(models, architecture, config):
    model = models[architecture]
    step = StepModel(model, 1)
    step.open(0)
    decoding = wedlm(PROMPTS[0], "m", MASK, config, GREEDY, stopping(), stream(0))
    feed = next(decoding)
    while True:
        (logits,), _ = step.step([(0, feed)])
        try:
            feed = decoding.send(logits)
        except StopIteration as end:
            generation = end.value
            break
    # The last tokens did not go through the model; with verify, a refused token stays until the next forward.
    scored = generation.extra["ar_logprob_tokens"]
    tokens = [*PROMPTS[0], *generation.tokens[: scored - 1]]
    assert step.length(0) == len(tokens) or (config.verify and step.length(0) > len(tokens))
    with torch.inference_mode():
        past = model(torch.tensor([tokens]), use_cache=True).past_key_values
    for layer, plain in zip(step.cache.layers, past.layers, strict=True):
        assert torch.allclose(layer.keys[0, :, : len(tokens)], plain.keys[0], atol=1e-5, rtol=1e-5)
        assert torch.allclose(layer.values[0, :, : len(tokens)], plain.values[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [EAGER, VERIFIED, ONE_BY_ONE, WeDLMConfig(window=1)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_autoregressive_log_probability_is_plain_ar_s(models, config, temperature):
    if config.verify and temperature:
        pytest.skip("verified texts are greedy")
    for i, (generation, _) in enumerate(run(models["qwen3"], config, sampling=Sampling(temperature))):
        tokens = [*PROMPTS[i], *generation.tokens]
        log_p = torch.log_softmax(full_forward(models["qwen3"], tokens, range(len(tokens))), dim=-1)
        scored = generation.extra["ar_logprob_tokens"]
        assert 1 <= scored <= len(generation.tokens)
        own = [float(log_p[len(PROMPTS[i]) + j - 1, generation.tokens[j]]) for j in range(scored)]
        assert generation.extra["ar_logprob"] == pytest.approx(sum(own), abs=1e-5 * scored)
        if config.verify or config.tau is None:
            assert scored >= len(generation.tokens) - (0 if config.verify else config.window)


def test_rows_do_not_change_texts(models):
    for config, temperature in ((EAGER, 1.0), (VERIFIED, 0.0)):
        expected = run(models["qwen3"], config, sampling=Sampling(temperature), rows=1)
        for rows in (3, 16):
            got = run(models["qwen3"], config, sampling=Sampling(temperature), rows=rows)
            assert [one.tokens for one, _ in got] == [one.tokens for one, _ in expected]
            assert [one.extra["steps"] for one, _ in got] == [one.extra["steps"] for one, _ in expected]


@pytest.mark.parametrize("config", [WeDLMConfig(window=1), WeDLMConfig(window=1, tau=None), WeDLMConfig(tau=0.0)])
def test_one_token_a_forward(models, config):
    for generation, cost in run(models["llama"], config):
        assert cost.forwards == len(generation.tokens) + generation.dropped
        assert sorted(generation.extra["steps"]) == sorted(set(generation.extra["steps"]))


def test_window_1_is_left_to_right(models):
    for generation, _ in run(models["llama"], WeDLMConfig(window=1, tau=5.0)):
        assert generation.extra["steps"] == list(range(1, len(generation.tokens) + 1))
        assert generation.dropped == 0


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


def scripted(places):
    """A 'model' that is sure of what `places` says at a mask's place, in plain order, and unsure elsewhere."""

    def logits(history):
        out = torch.zeros(VOCABULARY)
        out[9] = 0.1
        if len(history) - 1 in places:
            out[places[len(history) - 1]] = 50.0
        return out

    return {"m": logits}


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
        out = hashed("m", eos_bias=-99)(history)
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
            {"m": hashed("m", eos_bias=-99)},
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


def test_lambda_is_the_user_s_name_of_the_penalty():
    assert field_names({"lambda": 0.1, "tau": 1}) == {"distance": 0.1, "tau": 1}
