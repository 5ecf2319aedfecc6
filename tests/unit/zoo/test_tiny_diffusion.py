"""Diffusion objectives of the tiny family: who sees whom, nothing leaks, and what the decoders later do is learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.unit.zoo.tiny_tools import EOS, MASK, VOCABULARY, hidden, make_batch, memory_of, picture, view_of
from training.tiny import views
from training.tiny.batches import Batch
from training.tiny.objectives import OBJECTIVES, view_losses
from training.tiny.reference import block_causal, logits_of
from training.tiny.spec import FAMILY

pytestmark = pytest.mark.usefixtures("one_thread")


def test_wedlm_sees_a_clean_past_and_its_own_block_in_causal_order(monkeypatch):
    # Prompt of 2, answer of 4 and blocks of 2; places 0, 3 and 4 are masked, so block 0 is fed as (1, 0).
    batch = Batch(torch.tensor([[11, 12, 21, 22, 23, EOS]]), torch.tensor([2]), torch.tensor([6]))
    masked = torch.tensor([[True, False, False, True, True]])
    monkeypatch.setattr(views, "draw_masks", lambda groups: (masked, masked.float()))
    monkeypatch.setattr(torch, "randint", lambda *_: torch.zeros(1, 1, dtype=torch.long))
    view = views.wedlm_view(batch, 2, MASK, EOS)
    assert view.ids.tolist() == [[11, 12, 21, 22, 23, EOS, EOS, 22, MASK, 23, MASK, MASK]]
    assert view.positions.tolist() == [[0, 1, 2, 3, 4, 5, 6, 3, 2, 4, 5, 6]]
    assert picture(view.allowed[0, 0]) == [
        # prompt, clean response, noised response
        "xx"[:1] + "." * 11,
        "xx" + "." * 10,
        "xxx" + "." * 9,
        "xxxx" + "." * 8,
        "xxxxx" + "." * 7,
        "xxxxxx" + "." * 6,
        "xxxxxxx" + "." * 5,
        "xx" + "....." + "x....",
        "xx" + "....." + "xx...",
        "xx" + "xx..." + "..x..",
        "xx" + "xx..." + "..xx.",
        "xx" + "xxxx." + "....x",
    ]
    # A mask predicts its own place; the last block begins behind the end of text and is never decoded.
    assert view.targets[0, 7:].tolist() == [22, 21, 23, EOS, EOS]
    assert view.mask_weights.tolist() == [[0] * 8 + [1, 0, 1, 0]]
    # A clean token predicts the next one, the prompt's last token the answer's first.
    assert view.targets[0, 1:5].tolist() == [21, 22, 23, EOS]
    assert view.ar_weights.tolist() == [[0, 1, 1, 1, 1] + [0] * 7]


def test_bd3lm_blocks_are_bidirectional_and_counted_from_the_end_of_the_prompt(monkeypatch):
    batch = Batch(torch.tensor([[11, 12, 21, 22, EOS]]), torch.tensor([2]), torch.tensor([5]))
    masked = torch.tensor([[True, False, False, True]])
    monkeypatch.setattr(views, "draw_masks", lambda groups: (masked, masked.float()))
    view = views.bd3lm_view(batch, 4, 2, MASK, EOS)
    # The last clean block is left out: nothing would see it.
    assert view.ids.tolist() == [[11, 12, 21, 22, MASK, 22, EOS, MASK]]
    assert view.positions.tolist() == [[0, 1, 2, 3, 2, 3, 4, 5]]
    assert picture(view.allowed[0, 0]) == [
        "xx......", "xx......",
        "xxxx....", "xxxx....",
        "xx..xx..", "xx..xx..", "xxxx..xx", "xxxx..xx",
    ]  # fmt: skip
    assert view.targets[0, 4:].tolist() == [21, 22, EOS, EOS]
    assert not view.ar_weights.any()


def test_mdlm_sees_everything_but_padding_and_never_masks_a_prompt():
    batch = make_batch()
    view = view_of("mdlm", batch)
    for row, prompt in enumerate(batch.prompt_lengths.tolist()):
        real = [*range(prompt), *range(5, 17)]
        assert view.allowed[row, 0][real][:, real].all()
        padding = [slot for slot in range(5) if slot >= prompt]
        assert not view.allowed[row, 0][real][:, padding].any()
        assert view.ids[row, :prompt].tolist() == batch.ids[row, :prompt].tolist()
        assert view.positions[row, 5:].tolist() == list(range(prompt, prompt + 12))
    assert (view.targets[:, 5:][view.ids[:, 5:] != MASK] == view.ids[:, 5:][view.ids[:, 5:] != MASK]).all()


def test_a_block_of_a_canvas_is_masked_in_part_and_all_behind_it_whole():
    torch.manual_seed(0)
    rows = 4000
    ids = torch.tensor([[11, 12, 21, 22, 23, 24, 25, EOS]]).repeat(rows, 1)
    layout = views.lay_out(Batch(ids, torch.full((rows,), 2), torch.full((rows,), 8)), 12, EOS)
    masked, weights = (part.view(rows, 3, 4) for part in views.draw_block(layout, 4))
    assert torch.allclose(weights.sum((1, 2)), torch.tensor(8.0))  # one block of 4 stands for the two up to the end
    drawn = weights.sum(2).argmax(1)
    assert torch.allclose(torch.bincount(drawn) / rows, torch.tensor(0.5), atol=0.03)
    assert not masked[drawn == 1, 0].any()
    for behind in (masked[drawn == 0, 1], masked[drawn == 0, 2], masked[drawn == 1, 2]):
        assert behind.all()
    inside = masked[torch.arange(rows), drawn]
    assert torch.equal(inside, weights[torch.arange(rows), drawn] > 0)
    assert torch.allclose(torch.bincount(inside.sum(1))[1:] / rows, torch.tensor(0.25), atol=0.03)


def test_three_rows_of_four_of_a_canvas_are_masked_block_by_block():
    batch = make_batch()
    twice = Batch(*(torch.cat([part, part]) for part in vars(batch).values()))
    torch.manual_seed(0)
    view = views.mdlm_view(twice, 12, MASK, EOS, block_length=4)
    # A canvas of 12 anywhere, else 4 times the blocks that the answer's 9, 4 or 11 tokens reach into.
    assert torch.allclose(view.mask_weights.sum(1), torch.tensor([12.0, 4, 12, 12, 12, 12]))
    assert (view.ids[1, 9:] == MASK).all()


@pytest.mark.parametrize("kind", ["wedlm", "bd3lm"])
def test_no_mask_learns_from_the_clean_tokens_of_its_own_block_or_later(kind, network):
    batch = make_batch()
    view = view_of(kind, batch)
    before = hidden(network, view)
    prompts = int(batch.prompt_lengths.max())
    memory = memory_of(kind, view, prompts)
    clean = slice(prompts, prompts + memory)
    noised = slice(prompts + memory, None)
    touched = 0
    for place in range(memory):
        other = view.ids.clone()
        other[:, prompts + place] = (other[:, prompts + place] + 7 - 3) % (VOCABULARY - 3) + 3
        after = hidden(network, replace(view, ids=other))
        changed = (after[:, noised] - before[:, noised]).abs().amax(-1) > 1e-6
        logical = view.positions[:, noised] - batch.prompt_lengths[:, None]
        seen = view.allowed[:, 0, noised, prompts + place]
        # Only slots of later blocks may feel it, and all those that see it do.
        assert not changed[logical <= place].any()
        assert torch.equal(changed, seen)
        touched += int(changed.sum())
    assert touched
    # The clean stream, in turn, never feels the noised one.
    other = view.ids.clone()
    other[:, noised] = 3
    assert torch.allclose(hidden(network, replace(view, ids=other))[:, clean], before[:, clean], atol=1e-6)


def test_a_mask_of_wedlm_does_not_feel_the_masks_behind_it(network):
    view = view_of("wedlm", make_batch())
    before = hidden(network, view)
    last = view.ids.clone()
    last[:, -1] = 3
    after = hidden(network, replace(view, ids=last))
    assert torch.equal(after[:, :-1], before[:, :-1])
    assert not torch.allclose(after[:, -1], before[:, -1])


@pytest.mark.parametrize("kind", ["wedlm", "bd3lm", "mdlm"])
def test_a_training_row_is_what_the_decoder_feeds(kind, network):
    """Each noised slot has the logits of one decoder's forward: clean past, then one block, nothing else."""
    batch = make_batch()
    view = view_of(kind, batch)
    with torch.no_grad():
        logits = network.lm_head(hidden(network, view))
    prompts = int(batch.prompt_lengths.max())
    for row, begin in enumerate(batch.prompt_lengths.tolist()):
        response = view.ids[row, prompts:]
        if kind == "mdlm":
            ids = [*batch.ids[row, :begin].tolist(), *response.tolist()]
            allowed = torch.ones(len(ids), len(ids), dtype=torch.bool)
            alone = logits_of(network, ids, range(len(ids)), allowed)
            assert torch.allclose(alone[begin:], logits[row, prompts:], atol=1e-4)
            continue
        memory = memory_of(kind, view, prompts)
        clean, noised = response[:memory].tolist(), slice(prompts + memory, None)
        places = (view.positions[row, noised] - begin).tolist()
        # Slots of one block see the same clean tokens.
        pasts = view.allowed[row, 0, noised, prompts : prompts + memory].sum(-1).tolist()
        for past in sorted(set(pasts)):
            at = [slot for slot, value in enumerate(pasts) if value == past]
            order = [*range(begin + past), *(begin + places[slot] for slot in at)]
            ids = [*batch.ids[row, :begin].tolist(), *clean[:past], *response[memory:][at].tolist()]
            if kind == "wedlm":
                allowed = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
            else:
                allowed = block_causal(begin, len(ids), 4)
            alone = logits_of(network, ids, order, allowed)
            assert torch.allclose(alone[begin + past :], logits[row, prompts + memory :][at], atol=1e-4)


def test_wedlm_clean_stream_is_plain_autoregression(network):
    batch = make_batch()
    spec = replace(FAMILY["tiny-wedlm"], prompt_weight=0.0)
    with torch.no_grad():
        _, ar = view_losses(network, view_of("wedlm", batch))
        plain = OBJECTIVES["ar"](network, batch, spec)
    assert torch.allclose(ar, plain, atol=1e-5)


def test_masks_are_drawn_uniformly_and_weigh_to_the_size_of_their_group():
    torch.manual_seed(0)
    groups = torch.tensor([[0, 0, 0, 0, 1, 1]]).repeat(20_000, 1)
    masked, weights = views.draw_masks(groups)
    for group, size in ((0, 4), (1, 2)):
        inside = groups[0] == group
        counts = masked[:, inside].sum(1)
        shares_seen = torch.bincount(counts, minlength=size + 1)[1:] / len(groups)
        assert torch.allclose(shares_seen, torch.full((size,), 1 / size), atol=0.02)
        assert torch.allclose(weights[:, inside].sum(1), torch.tensor(float(size)))
        assert torch.allclose(masked[:, inside].float().mean(0), torch.full((size,), (size + 1) / 2 / size), atol=0.02)
    assert torch.equal(weights > 0, masked)


def test_mask_losses_are_weighted_means_over_answer_tokens(network):
    view = view_of("mdlm", make_batch())
    with torch.no_grad():
        mask, ar = view_losses(network, view)
        log_p = network.lm_head(hidden(network, view)).log_softmax(-1)
    total = sum(
        -log_p[row, slot, view.targets[row, slot]] * view.mask_weights[row, slot]
        for row, slot in view.mask_weights.nonzero().tolist()
    )
    assert torch.allclose(mask, total / (9 + 4 + 11), rtol=1e-5)
    assert ar == 0
