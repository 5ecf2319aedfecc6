"""The likelihood bound of diffusion models against brute force, and its Monte Carlo estimate against the bound."""

import functools
import itertools
import math
import statistics

import pytest
import torch

from lmx_models.core.driver import made_up
from lmx_models.core.sampling import stream
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.elbo import (
    block_likelihood,
    exact_log_likelihood,
    is_greedy,
    log_likelihood,
    masked_likelihood,
    mc_log_likelihood,
)
from tests.unit.decoding.decoding_tools import random_model
from tests.unit.decoding.diffusion_tools import MASK, PROMPTS, groups_of, plain, plain_logits, run_all

TEXTS = [[5, 6, 30, 41, 9, 9, 13, 22], [7], [33, 12, 45, 3, 19], [8, 8]]
HEADS = {"own": Head(MASK), "shifted": Head(MASK, shifted=True)}


@pytest.fixture(scope="module")
def model():
    return random_model("qwen3")


def finish(generator, answer=None):
    """Run a generator whose feeds `answer` answers; return its value and how many there were."""
    count, sent = 0, None
    while True:
        try:
            feed = generator.send(sent)
        except StopIteration as end:
            return end.value, count
        count, sent = count + 1, answer(feed)


def asker(salt: str, tokens):
    """Return a 'model' whose distribution at each mask depends on all that is not masked."""

    @functools.cache
    def logits(masked):
        seen = [number for i, token in enumerate(tokens) if i not in masked for number in (i, token)]
        return torch.stack([made_up(salt)([i, *seen]) for i in masked])

    def ask(masked):
        yield len(masked)
        return logits(tuple(masked))

    return ask


def bound_by_hand(log_prob_of, length: int) -> float:
    """E_l E_S [L / l * log p(S)], written out."""
    by_count = []
    for count in range(1, length + 1):
        sets = list(itertools.combinations(range(length), count))
        by_count.append(statistics.fmean(length / count * log_prob_of(list(masked)) for masked in sets))
    return statistics.fmean(by_count)


def plain_bound(model, prompt, tokens, head, method="mdlm", config=None, begin=0, end=None) -> float:
    """The bound of ``tokens[begin:end]`` by plain forwards, all before them being clean."""
    end = len(tokens) if end is None else end
    groups = groups_of(prompt, end, method, config)

    def log_prob(masked):
        ids = [*prompt, *(MASK if i - begin in masked else token for i, token in enumerate(tokens[:end]))]
        logits = plain_logits(model, ids, groups, head)[len(prompt) + begin :].double()
        return sum(float(torch.log_softmax(logits[i], -1)[tokens[begin + i]]) for i in masked)

    return bound_by_hand(log_prob, end - begin)


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_the_estimate_converges_to_the_exact_expectation(length):
    tokens = TEXTS[0][:length]
    ask = asker("a", tokens)
    exact, forwards = finish(exact_log_likelihood(ask, tokens), lambda feed: None)
    assert forwards == 2**length - 1
    estimates = [finish(mc_log_likelihood(ask, tokens, 16, stream(i)), lambda feed: None)[0] for i in range(300)]
    error = statistics.stdev(estimates) / math.sqrt(len(estimates))
    assert abs(statistics.fmean(estimates) - exact) <= 4 * error + 1e-9
    assert error < 0.02 * abs(exact)


def test_more_samples_are_nearer_and_the_same_seed_gives_the_same():
    tokens = TEXTS[0]
    ask = asker("b", tokens)
    exact, _ = finish(exact_log_likelihood(ask, tokens), lambda feed: None)

    def spread(samples):
        values = [finish(mc_log_likelihood(ask, tokens, samples, stream(i)), lambda feed: None)[0] for i in range(40)]
        return math.sqrt(statistics.fmean((value - exact) ** 2 for value in values))

    assert spread(256) < spread(8) / 3
    one, other = (finish(mc_log_likelihood(ask, tokens, 20, stream(7)), lambda feed: None)[0] for _ in range(2))
    assert one == other


def test_short_texts_are_enumerated_where_that_is_cheaper():
    for length, forwards in ((1, 1), (3, 7), (7, 127), (8, 128)):
        ask = asker("c", TEXTS[0][:length])
        value, count = finish(log_likelihood(ask, TEXTS[0][:length], 128, stream(0)), lambda feed: None)
        assert count == forwards
        if length < 8:
            assert value == finish(exact_log_likelihood(ask, TEXTS[0][:length]), lambda feed: None)[0]


def test_exact_bound_is_brute_force():
    tokens = TEXTS[2]
    ask = asker("d", tokens)

    def log_prob(masked):
        logits, _ = finish(ask(masked), lambda feed: None)
        return float(torch.log_softmax(logits.double(), -1)[range(len(masked)), [tokens[i] for i in masked]].sum())

    assert finish(exact_log_likelihood(ask, tokens), lambda feed: None)[0] == pytest.approx(bound_by_hand(log_prob, 5))


@pytest.mark.parametrize("head", HEADS)
def test_masked_likelihood_is_brute_force_on_a_network(model, head):
    head = HEADS[head]
    makers = [
        lambda prompt=prompt, text=text: masked_likelihood(prompt, text, 255, stream(0), head)
        for prompt, text in zip(PROMPTS, TEXTS, strict=True)
    ]
    for prompt, text, one in zip(PROMPTS, TEXTS, run_all(model, makers, 3), strict=True):
        expected = plain_bound(model, prompt, text, head)
        assert one.generation.extra["log_likelihood"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("prefill", ["whole", "blocks"])
@pytest.mark.parametrize("head", HEADS)
def test_block_likelihood_is_the_sum_over_blocks(model, head, prefill):
    head, config = HEADS[head], BlockDiffusionConfig(block_length=3, prefill=prefill)
    makers = [
        lambda prompt=prompt, text=text: block_likelihood(prompt, text, config, 7, stream(0), head)
        for prompt, text in zip(PROMPTS, TEXTS, strict=True)
    ]
    for prompt, text, one in zip(PROMPTS, TEXTS, run_all(model, makers, 3), strict=True):
        expected = sum(
            plain_bound(model, prompt, text, head, "bd3lm", config, begin, min(begin + 3, len(text)))
            for begin in range(0, len(text), 3)
        )
        assert one.generation.extra["log_likelihood"] == pytest.approx(expected, abs=1e-4)


def test_the_batch_does_not_change_a_score(model):
    def scores(rows):
        config = BlockDiffusionConfig(block_length=3)
        makers = [
            maker
            for i, (prompt, text) in enumerate(zip(PROMPTS, TEXTS, strict=True))
            for maker in (
                lambda prompt=prompt, text=text, i=i: masked_likelihood(prompt, text, 6, stream(i), HEADS["own"]),
                lambda prompt=prompt, text=text, i=i: block_likelihood(
                    prompt, text, config, 4, stream(i), HEADS["own"]
                ),
            )
        ]
        return [one.generation.extra["log_likelihood"] for one in run_all(model, makers, rows)]

    assert scores(1) == pytest.approx(scores(5), abs=1e-4)


def test_greedy_means_what_the_sampler_would_write(model):
    for method in ("mdlm", "bd3lm"):
        settings = {} if method == "mdlm" else {"block_length": 4}
        for prompt in PROMPTS:
            text, _ = plain(model, method, HEADS["own"], prompt, 6, **settings)
            wrong = [*text[:3], (text[3] + 1) % 50, *text[4:]]
            for tokens, expected in ((text, True), (wrong, False)):
                if method == "mdlm":
                    maker = lambda p=prompt, t=tokens: masked_likelihood(p, t, 1, stream(0), HEADS["own"])  # noqa: E731
                else:
                    config = BlockDiffusionConfig(**settings)
                    maker = lambda p=prompt, t=tokens, c=config: block_likelihood(  # noqa: E731
                        p, t, c, 1, stream(0), HEADS["own"]
                    )
                assert run_all(model, [maker], 1)[0].generation.extra["is_greedy"] is expected


def test_greedy_stops_at_the_first_difference():
    tokens = TEXTS[0]
    _, forwards = finish(is_greedy(asker("e", tokens), tokens), lambda feed: None)
    assert forwards == 1
