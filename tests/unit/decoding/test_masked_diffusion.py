"""Masked and block diffusion through the real engine: equal to plain recomputation, whatever the batch."""

import dataclasses
import random

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, prompt_blocks
from lmx_models.decoding.diffusion.denoising import Head, UnmaskingConfig, predict, schedule
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig
from tests.unit.decoding.decoding_tools import EOS, random_model, stopping
from tests.unit.decoding.diffusion_tools import MASK, PROMPTS, plain, write
from training.tiny.reference import reference_bd3lm, reference_mdlm

HEADS = {"own": Head(MASK), "shifted": Head(MASK, shifted=True)}
METHODS = ("mdlm", "bd3lm")
NEVER_ENDING = dataclasses.replace(stopping(21), eos=frozenset({-1}))
SETTINGS = {
    "one a forward": {"block_length": 8},
    "few steps": {"block_length": 8, "steps": 7},
    "fewer steps than blocks": {"block_length": 5, "steps": 2},
    "more steps than tokens": {"block_length": 50, "steps": 99},
    "threshold": {"block_length": 6, "threshold": 0.3},
}


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def model(request):
    return random_model(request.param)


@pytest.fixture(scope="module")
def qwen3():
    return random_model("qwen3")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("method", METHODS)
def test_equals_plain_recomputation(model, method, head, settings):
    head, settings = HEADS[head], SETTINGS[settings]
    for prompt, done in zip(PROMPTS, write(model, method, head, stop=NEVER_ENDING, **settings), strict=True):
        tokens, filled = plain(model, method, head, prompt, 21, **settings)
        assert (done.generation.tokens, done.generation.finish) == (tokens, "length")
        assert done.generation.extra["steps"] == filled
        assert done.generation.dropped == 0
        assert MASK not in tokens


@pytest.mark.parametrize("head", HEADS)
def test_a_prompt_read_in_blocks_equals_plain_recomputation(qwen3, head):
    settings = {"block_length": 4, "prefill": "blocks"}
    whole = write(qwen3, "bd3lm", HEADS[head], stop=NEVER_ENDING, block_length=4)
    done = write(qwen3, "bd3lm", HEADS[head], stop=NEVER_ENDING, **settings)
    for prompt, one in zip(PROMPTS, done, strict=True):
        assert one.generation.tokens == plain(qwen3, "bd3lm", HEADS[head], prompt, 21, **settings)[0]
        if len(prompt) <= 4:
            assert one.generation == whole[PROMPTS.index(prompt)].generation
    assert [one.generation.tokens for one in done] != [one.generation.tokens for one in whole]


def test_pieces_of_a_prompt_end_where_the_prompt_ends():
    config = BlockDiffusionConfig(block_length=4, prefill="blocks")
    assert [(len(piece), at) for piece, at in prompt_blocks(range(10), config)] == [(2, 0), (4, 2), (4, 6)]
    assert [(len(piece), at) for piece, at in prompt_blocks(range(8), config)] == [(4, 0), (4, 4)]
    assert [len(piece) for piece, _ in prompt_blocks(range(3), config)] == [3]
    assert [len(piece) for piece, _ in prompt_blocks(range(10), BlockDiffusionConfig())] == [10]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 1.0}, {"temperature": 1.0, "remasking": "random"}, {"threshold": 0.2}]
)
def test_the_batch_does_not_change_a_text(qwen3, method, settings):
    settings = {"block_length": 8, **settings}
    alone = write(qwen3, method, HEADS["own"], rows=1, **settings)
    together = write(qwen3, method, HEADS["own"], rows=4, **settings)
    assert [one.generation for one in alone] == [one.generation for one in together]
    if "temperature" in settings:
        other = write(qwen3, method, HEADS["own"], rows=4, seed=1, **settings)
        assert [one.generation.tokens for one in other] != [one.generation.tokens for one in alone]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_the_limit_is_kept(qwen3, method, limit):
    for one in write(qwen3, method, HEADS["own"], stop=dataclasses.replace(NEVER_ENDING, max_tokens=limit)):
        assert (len(one.generation.tokens), one.generation.finish) == (limit, "length")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("method", METHODS)
def test_a_text_ends_with_the_first_end_of_text_and_nothing_behind_it_counts(qwen3, method, head):
    """Stopping early gives what filling all and cutting gives, in fewer forwards."""
    head, settings = HEADS[head], {"block_length": 8}
    canvases = [plain(qwen3, method, head, prompt, 21, **settings)[0] for prompt in PROMPTS]
    ends = frozenset(canvas[10] for canvas in canvases)  # so that every text has an end
    for canvas, one in zip(
        canvases,
        write(qwen3, method, head, stop=dataclasses.replace(stopping(21), eos=ends), **settings),
        strict=True,
    ):
        end = next(i for i, token in enumerate(canvas) if token in ends) + 1
        generation = one.generation
        assert (generation.tokens, generation.finish) == (canvas[:end], "eos")
        assert len(generation.extra["steps"]) == end == generation.segments[-1].end
        cost = one.cost[method]
        denoising = cost.forwards - (0 if method == "mdlm" else 1 + (end - 1) // 8)
        last = max(generation.extra["steps"])
        assert generation.dropped == last - end  # one token a step
        # A shifted head fills the first place of a block, if it comes last, from what was cached: without a forward.
        assert 0 <= last - denoising <= (method == "bd3lm" and head.shifted) * (1 + end // 8)
        assert last < end + 8


@pytest.mark.parametrize("method", METHODS)
def test_stop_strings_cut_the_text(qwen3, method):
    whole = write(qwen3, method, HEADS["own"], stop=NEVER_ENDING, block_length=8)
    for i, one in enumerate(whole):
        string = NEVER_ENDING.decode(one.generation.tokens)[11:13]
        stop = dataclasses.replace(NEVER_ENDING, strings=(string,))
        cut = write(qwen3, method, HEADS["own"], stop=stop, block_length=8, prompts=PROMPTS[i : i + 1])[0].generation
        assert cut.finish == "stop"
        assert cut.tokens == one.generation.tokens[: len(cut.tokens)]
        assert stop.text(cut.tokens) == NEVER_ENDING.decode(one.generation.tokens).split(string)[0]


def test_what_is_fed(qwen3):
    """mdlm feeds everything each time; bd3lm feeds the prompt once, then a block a forward, and once more when full."""
    mdlm = write(qwen3, "mdlm", HEADS["own"], stop=NEVER_ENDING, steps=7)
    bd3lm = write(qwen3, "bd3lm", HEADS["own"], stop=NEVER_ENDING, block_length=8, steps=9)
    for prompt, one, other in zip(PROMPTS, mdlm, bd3lm, strict=True):
        cost = one.cost["mdlm"]
        assert (cost.forwards, cost.prefill + cost.decode) == (7, 7 * (len(prompt) + 21))
        cost = other.cost["bd3lm"]
        assert (cost.forwards, cost.prefill) == (1 + 3 + 1 + 3 + 1 + 3, len(prompt))
        assert cost.decode == 4 * 8 + 4 * 8 + 3 * 5


def test_schedules():
    def plan(length, **settings):
        return [(block, counts) for block, counts in schedule(length, UnmaskingConfig(**settings))]

    assert plan(5) == [((0, 5), [1, 1, 1, 1, 1])]
    assert plan(7, steps=3) == [((0, 7), [3, 2, 2])]
    assert plan(7, steps=3, block_length=4) == [((0, 4), [2, 2]), ((4, 7), [3])]
    assert plan(7, steps=1, block_length=4) == [((0, 4), [4]), ((4, 7), [3])]
    assert plan(7, steps=100, block_length=4) == [((0, 4), [1] * 4), ((4, 7), [1] * 3)]


def send_through(prediction, rows):
    feed = next(prediction)
    try:
        prediction.send(rows)
    except StopIteration as end:
        return feed, end.value
    raise AssertionError


def test_only_what_is_asked_for_gets_logits_and_the_mask_is_never_chosen():
    rows = torch.zeros(2, 6)
    rows[:, MASK] = 9.0
    feed, logits = send_through(predict("m", [1, MASK, 5, MASK], [1, 3], Head(MASK), at=10), rows)
    assert (feed.tokens, feed.positions, feed.logits, feed.keep) == ([1, 5, MASK, MASK], [10, 12, 11, 13], 2, 0)
    assert logits[:, MASK].tolist() == [-torch.inf] * 2
    assert rows[0, MASK] == 9.0  # the reply is not written to
    # Shifted: the token before each mask speaks; before the first one of a block, what was cached last.
    before = torch.full((1, 6), 4.0)
    feed, logits = send_through(predict("m", [MASK, 5, MASK], [0, 2], Head(MASK, True), 10, before), rows[:1])
    assert (feed.tokens, feed.positions, feed.logits) == ([MASK, MASK, 5], [10, 12, 11], 1)
    assert logits[:, 0].tolist() == [4.0, 0.0]


def test_greedy_decoding_needs_no_random_numbers(qwen3, monkeypatch):
    def used(*args):
        raise AssertionError("random numbers at temperature 0")

    for name in ("random", "sample", "randrange"):
        monkeypatch.setattr(random.Random, name, used)
    for method in METHODS:
        write(qwen3, method, HEADS["own"], stop=stopping(9), block_length=8)


@pytest.mark.parametrize(
    ("config", "bad", "message"),
    [
        (MaskedDiffusionConfig, {"steps": 0}, "steps=0"),
        (MaskedDiffusionConfig, {"block_length": -1}, "block_length=-1"),
        (MaskedDiffusionConfig, {"threshold": 1.5}, r"threshold=1.5 must lie in \[0, 1\]"),
        (MaskedDiffusionConfig, {"threshold": 0.9, "steps": 4}, "exclude each other"),
        (
            MaskedDiffusionConfig,
            {"threshold": 0.9, "remasking": "random"},
            "needs remasking=low_confidence, not random",
        ),
        (MaskedDiffusionConfig, {"threshold": 0.9, "remasking": "entropy"}, "needs remasking=low_confidence"),
        (MaskedDiffusionConfig, {"threshold": 0.9, "schedule": "dream"}, "schedule=dream exclude each other"),
        (MaskedDiffusionConfig, {"schedule": "dreem"}, "did you mean 'dream'"),
        (MaskedDiffusionConfig, {"remasking": "low_confidense"}, "did you mean 'low_confidence'"),
        (BlockDiffusionConfig, {"block_length": None}, "block_length=None"),
        (BlockDiffusionConfig, {"steps": -3}, "steps=-3"),
        (BlockDiffusionConfig, {"prefill": "block"}, "did you mean 'blocks'"),
    ],
)
def test_bad_settings(config, bad, message):
    with pytest.raises(UserError, match=message):
        config(**bad)


def test_end_of_text_may_come_first(qwen3):
    stop = dataclasses.replace(stopping(5), eos=frozenset(range(50)))
    for method in METHODS:
        for one in write(qwen3, method, HEADS["own"], stop=stop, steps=1):
            assert (len(one.generation.tokens), one.generation.finish, one.generation.dropped) == (1, "eos", 4)
    assert EOS in stop.eos


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_decoders_that_score_the_tiny_family(seed):
    """Written apart from these decoders, without a cache; they fill a whole block where ours stop at the end."""
    model, ends, limit = random_model("llama", seed), {3, 7, 19}, 22
    stop = dataclasses.replace(stopping(limit), eos=frozenset(ends))
    prompt = PROMPTS[seed]
    (mdlm,) = write(model, "mdlm", HEADS["own"], stop=stop, prompts=[prompt], steps=9, block_length=8)
    whole, forwards = reference_mdlm(model, prompt, limit, 9, 8, MASK, ends)
    assert mdlm.generation.tokens == up_to_end(whole, ends)
    assert mdlm.cost["mdlm"].forwards <= forwards
    (bd3lm,) = write(model, "bd3lm", HEADS["own"], stop=stop, prompts=[prompt], steps=9, block_length=8)
    whole, _ = reference_bd3lm(model, prompt, limit, 8, 3, MASK, ends)
    assert bd3lm.generation.tokens == up_to_end(whole, ends)
    by_threshold = {"block_length": 8, "threshold": 0.05}
    (mdlm,) = write(model, "mdlm", HEADS["own"], stop=stop, prompts=[prompt], **by_threshold)
    whole, forwards = reference_mdlm(model, prompt, limit, 9, 8, MASK, ends, threshold=0.05)
    assert mdlm.generation.tokens == up_to_end(whole, ends)
    assert forwards < len(whole)
    (bd3lm,) = write(model, "bd3lm", HEADS["own"], stop=stop, prompts=[prompt], **by_threshold)
    whole, _ = reference_bd3lm(model, prompt, limit, 8, 3, MASK, ends, threshold=0.05)
    assert bd3lm.generation.tokens == up_to_end(whole, ends)


def up_to_end(tokens, ends):
    return tokens[: next((i + 1 for i, token in enumerate(tokens) if token in ends), len(tokens))]
