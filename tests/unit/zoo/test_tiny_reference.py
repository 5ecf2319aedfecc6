"""Training of the tiny diffusion models, and the reference decoders that score them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.unit.zoo.tiny_tools import EOS, MASK, picture
from training.tiny.batches import batches
from training.tiny.objectives import OBJECTIVES
from training.tiny.reference import block_causal, logits_of, reference_bd3lm, reference_mdlm, reference_wedlm, shares
from training.tiny.spec import FAMILY
from training.tiny.tokenizer import build_tokenizer
from training.tiny.train import build_model, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("objective", ["wedlm", "mdlm", "bd3lm"])
@pytest.mark.full
def test_training_brings_the_loss_down(objective):
    tokenizer = build_tokenizer()
    spec = replace(
        FAMILY[f"tiny-{objective}"], hidden=32, layers=1, heads=2, steps=25, batch={"listing": 8}, start=None,
        lr=1e-2, muon_lr=2e-2,
    )  # fmt: skip
    batch = next(batches("listing", 16, tokenizer, seed=9))

    def loss(model):
        torch.manual_seed(0)
        with torch.no_grad():
            return OBJECTIVES[objective](model, batch, spec)

    torch.manual_seed(0)
    untrained = build_model(spec, tokenizer)
    assert loss(train(spec, tokenizer, seed=0)[0]) < 0.7 * loss(untrained)


def test_wedlm_one_token_at_a_time_takes_a_forward_a_token(network):
    tokens, forwards = reference_wedlm(network, [5, 6, 7], 9, MASK, {EOS}, tau=None)
    assert len(tokens) <= 9
    assert EOS not in tokens[:-1]
    assert MASK not in tokens
    assert forwards >= len(tokens)


def test_wedlm_with_no_threshold_fills_a_window_at_once(network):
    tokens, forwards = reference_wedlm(network, [5, 6, 7], 12, MASK, (), window=4, tau=float("inf"))
    assert (len(tokens), forwards) == (12, 3)


def test_wedlm_follows_its_pseudocode_by_hand(network):
    prompt = [5, 6, 7]
    tokens, forwards = reference_wedlm(network, prompt, 1, MASK, ())
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    logits = logits_of(network, [*prompt, MASK], range(4), causal)[-1]
    logits[MASK] = -torch.inf
    assert (tokens, forwards) == ([int(logits.argmax())], 1)


def test_wedlm_ends_at_the_first_end_of_text_and_at_the_limit(network):
    free, _ = reference_wedlm(network, [5, 6, 7], 20, MASK, ())
    assert len(free) == 20
    ended, _ = reference_wedlm(network, [5, 6, 7], 20, MASK, set(free))
    assert len(ended) <= len(free)
    assert ended[-1] in set(free)
    assert reference_wedlm(network, [5, 6, 7], 0, MASK, ()) == ([], 0)


def test_wedlm_of_a_window_of_one_is_greedy_over_masks(network):
    tokens, forwards = reference_wedlm(network, [5, 6], 6, MASK, (), window=1)
    ids = [5, 6]
    for _ in range(6):
        causal = torch.ones(len(ids) + 1, len(ids) + 1, dtype=torch.bool).tril()
        logits = logits_of(network, [*ids, MASK], range(len(ids) + 1), causal)[-1]
        logits[MASK] = -torch.inf
        ids.append(int(logits.argmax()))
    assert (tokens, forwards) == (ids[2:], 6)


@pytest.mark.parametrize(
    ("masks", "steps", "expected"),
    [(8, 4, [2, 2, 2, 2]), (8, 3, [3, 3, 2]), (2, 5, [1, 1]), (5, 1, [5]), (3, 0, [3])],
)
def test_shares_are_even(masks, steps, expected):
    assert shares(masks, steps) == expected


def test_mdlm_in_one_step_is_one_forward_over_masks(network):
    tokens, forwards = reference_mdlm(network, [5, 6, 7], 6, steps=1, block=6, mask_id=MASK)
    ids = [5, 6, 7, *[MASK] * 6]
    logits = logits_of(network, ids, range(9), torch.ones(9, 9, dtype=torch.bool))[3:]
    logits[:, MASK] = -torch.inf
    assert (tokens, forwards) == (logits.argmax(-1).tolist(), 1)


def test_mdlm_spends_its_steps_and_stops_after_a_finished_block(network):
    tokens, forwards = reference_mdlm(network, [5, 6, 7], 10, steps=9, block=4, mask_id=MASK)
    assert (len(tokens), forwards) == (10, 8)  # blocks of 4, 4 and 2 get 3 steps each; the last has 2 tokens
    assert MASK not in tokens
    few, forwards = reference_mdlm(network, [5, 6, 7], 10, steps=9, block=4, mask_id=MASK, eos_ids={tokens[1]})
    assert (few, forwards) == (tokens[:4], 3)
    assert reference_mdlm(network, [5, 6, 7], 10, steps=1, block=4, mask_id=MASK)[1] == 3


def test_bd3lm_of_one_block_is_mdlm_whose_prompt_does_not_look_ahead(network):
    tokens, forwards = reference_bd3lm(network, [5, 6, 7], 8, block=4, steps_per_block=2, mask_id=MASK)
    assert (len(tokens), forwards) == (8, 4)
    first, _ = reference_bd3lm(network, [5, 6, 7], 4, block=4, steps_per_block=2, mask_id=MASK)
    assert first == tokens[:4]  # a later block never changes an earlier one
    seen = block_causal(3, 11, 4)
    assert picture(seen[[0, 3, 7]]) == ["xxx" + "." * 8, "x" * 7 + "." * 4, "x" * 11]
    stopped = reference_bd3lm(network, [5, 6, 7], 8, block=4, steps_per_block=2, mask_id=MASK, eos_ids={tokens[2]})
    assert stopped == (tokens[:4], 2)
