"""WeDLM decoding: the cached stream against a full recompute, plain autoregression, and every way a text may end."""

import itertools
import math

import pytest
import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, wedlm
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import EOS, stopping
from tests.unit.decoding.wedlm_tools import (
    DEFAULT,
    EAGER,
    GREEDY,
    MASK,
    ONE_BY_ONE,
    PROMPTS,
    VERIFIED,
    full_forward,
    recompute,
    run,
)
from training.tiny.reference import reference_wedlm


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
