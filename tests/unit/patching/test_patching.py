"""Patched runs equal plain full forwards, land where they should, and say so when they do not."""

from __future__ import annotations

import pytest
import torch

from lmx_files.errors import UserError
from lmx_probes.patching import attend, suffix
from lmx_probes.patching.components import COMPONENTS, sites_of
from lmx_probes.patching.patch import Patch, Patcher, PatchError, patch_from
from lmx_probes.patching.plain import check, plain_forward
from tests.unit.patching.shapes import SHAPES, model, texts

LENGTH = 14
PLACES = ((3,), (7,), (LENGTH - 1,), (3, 4, 9), tuple(range(2, LENGTH)))


def pair(patcher: Patcher) -> tuple:
    base, other = texts(2, LENGTH)
    source = [*base]
    source[3], source[9] = other[3], other[9]
    return tuple(patcher.capture([base, source], COMPONENTS))


def all_patches(patcher: Patcher) -> list[Patch]:
    base, source = pair(patcher)
    return [
        patch_from(patcher.sites, base, source, component, layer, places, head)
        for component in COMPONENTS
        for layer in range(patcher.sites.layers)
        for places in PLACES
        for head in ((0, 1, 3) if component == "head" else (None,))
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_component_equals_a_plain_full_forward(shape):
    patcher = Patcher(model(shape))
    patches = all_patches(patcher)
    found = patcher.run(patches)
    plain = torch.stack([plain_forward(patcher, patch) for patch in patches])
    assert float((found - plain).abs().max()) < 1e-5
    moved = (plain - patches[0].base.logits).abs().amax(dim=-1)
    assert float((moved > 1e-4).float().mean()) > 0.5  # the patches do something
    assert patcher.landed > len(patches) / 2


@pytest.mark.parametrize("shape", ["llama", "gemma2", "gpt2"])
def test_rows_of_a_batch_do_not_see_each_other(shape):
    patcher = Patcher(model(shape))
    patches = all_patches(patcher)[:24]
    together = patcher.run(patches)
    apart = torch.cat([Patcher(model(shape)).run([patch]) for patch in patches])
    assert float((together - apart).abs().max()) < 1e-5


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gpt2"])
def test_both_forms_of_attention_give_the_same(shape, monkeypatch):
    """Rows with few tokens read their base's keys where they lie; with many, a copy that stands before their own."""
    patcher = Patcher(model(shape))
    patches = [patch for patch in all_patches(patcher) if patch.positions[0] > 5]
    assert len({len(patch.base.tokens) - patch.positions[0] for patch in patches}) == 2  # one token, and several
    joined = patcher.run(patches)
    used = []
    monkeypatch.setattr(attend, "SHORT", 0)
    monkeypatch.setattr(suffix, "beside", lambda *_: used.append(1))
    copied = patcher.run(patches)
    assert not used
    assert float((joined - copied).abs().max()) < 2e-6
    assert float((joined - patches[0].base.logits).abs().max()) > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_source_computed_from_where_it_differs_is_the_same(shape):
    patcher = Patcher(model(shape))
    whole, same = texts(2, LENGTH)
    other = [*whole[:6], 50, *whole[7:9], 60, *whole[10:]]
    bases = patcher.capture([whole, same], COMPONENTS)
    found = patcher.capture([other, same], COMPONENTS, bases)
    plain = patcher.capture([other, same], COMPONENTS)
    for ours, theirs, base in zip(found, plain, bases, strict=True):
        assert float((ours.logits - theirs.logits).abs().max()) < 1e-5
        for component in COMPONENTS:
            for layer in range(patcher.sites.layers):
                mine, whole_run = ours.activations[component][layer], theirs.activations[component][layer]
                assert mine.shape == whole_run.shape
                assert torch.allclose(mine, whole_run, atol=1e-5)
                assert torch.equal(mine[:6], base.activations[component][layer][:6])


def test_texts_of_unequal_length_share_a_forward():
    patcher = Patcher(model("qwen3"))
    short, long = texts(1, 6)[0], texts(1, 11, seed=1)[0]
    changed = [[*text[:2], 50, *text[3:]] for text in (short, long)]
    runs = patcher.capture([short, changed[0], long, changed[1]], COMPONENTS)
    patches = [patch_from(patcher.sites, runs[i], runs[i + 1], "residual", 1, (2, 4)) for i in (0, 2)]
    plain = torch.stack([plain_forward(patcher, patch) for patch in patches])
    assert float((patcher.run(patches) - plain).abs().max()) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_self_patch_is_exactly_nothing(shape):
    patcher = Patcher(model(shape))
    base, _ = pair(patcher)
    patches = [
        patch_from(patcher.sites, base, base, component, layer, (3, 9), 1 if component == "head" else None)
        for component in COMPONENTS
        for layer in range(patcher.sites.layers)
    ]
    assert torch.equal(patcher.run(patches), base.logits.expand(len(patches), -1))
    assert patcher.unchanged == len(patches)
    again = patcher.run(patches, identical=True)  # run for real: rounding alone
    assert float((again - base.logits).abs().max()) < 2e-6
    assert patcher.landed > 0


def test_a_patch_before_all_that_differs_changes_nothing():
    patcher = Patcher(model("llama"))
    base, source = pair(patcher)
    patch = patch_from(patcher.sites, base, source, "residual", 1, (1, 2))
    assert torch.equal(patcher.run([patch])[0], base.logits)
    assert patcher.unchanged == 1


def test_a_patch_that_does_not_land_is_an_error(monkeypatch):
    """A layer that hands on its own output, whatever it is told, as one whose hook never fires."""
    patcher = Patcher(model("llama"))
    base, source = pair(patcher)
    patch = patch_from(patcher.sites, base, source, "residual", 1, (5,))
    layer = patcher.sites.blocks[1].layer
    handle = layer.register_forward_hook(lambda _m, _a, _o: base.activations["residual"][1][5:].unsqueeze(0))
    try:
        with pytest.raises(PatchError, match="layer 1 did not land"):
            patcher.run([patch])
    finally:
        handle.remove()


def test_a_patch_that_spills_over_is_an_error():
    patcher = Patcher(model("llama"))
    base, source = pair(patcher)
    patch = patch_from(patcher.sites, base, source, "residual", 1, (5,))

    def spill(_module, _args, output):
        output[0, 2] += 1e-3
        return output

    handle = patcher.sites.blocks[1].layer.register_forward_hook(spill)
    try:
        with pytest.raises(PatchError, match="beside it"):
            patcher.run([patch])
    finally:
        handle.remove()


def test_a_head_patch_leaves_other_heads():
    """Grouped queries: two of four heads share keys, and a head's inputs are its own columns all the same."""
    patcher = Patcher(model("qwen3"))
    base, source = pair(patcher)
    assert patcher.sites.head_dim == 16
    whole = patcher.run([patch_from(patcher.sites, base, source, "attention", 2, (9,))])
    heads = [patch_from(patcher.sites, base, source, "head", 2, (9,), head) for head in range(4)]
    one_by_one = patcher.run(heads) - base.logits
    assert float((one_by_one.abs().amax(dim=-1) > 1e-5).float().mean()) == 1.0
    values = torch.cat([patch.values for patch in heads], dim=1)
    attention = torch.nn.functional.linear(values, patcher.sites.blocks[2].projection.weight)
    together = Patch(base, "attention", 2, (9,), attention)
    assert torch.allclose(patcher.run([together]), whole, atol=1e-5)


def test_wrong_places_are_named():
    sites = sites_of(model("llama"))
    with pytest.raises(UserError, match="unknown component 'residuals': did you mean 'residual'"):
        sites.check("residuals", 0, None)
    with pytest.raises(UserError, match="no layer 4: the model's are 0 to 3"):
        sites.check("mlp", 4, None)
    with pytest.raises(UserError, match="no head 9"):
        sites.check("head", 0, 9)
    with pytest.raises(UserError, match="has no heads"):
        sites.check("mlp", 0, 1)


def test_a_model_of_another_shape_is_refused_at_load():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = model("llama").config
            self.layers = torch.nn.ModuleList([torch.nn.ModuleDict({"mixer": torch.nn.Linear(2, 2)}) for _ in range(4)])

    with pytest.raises(UserError, match=r"attention of layer 0: looked for self_attn.*found mixer"):
        sites_of(Odd())


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_the_check_at_load_passes_and_refuses(shape):
    assert check(Patcher(model(shape)), shape) < 1e-4


def test_the_check_at_load_refuses_a_model_that_computes_otherwise():
    patcher = Patcher(model("mistral"))
    blocks = patcher.sites.blocks
    # a layer that looks at more than its own input, as if it kept a state
    handle = blocks[2].layer.register_forward_pre_hook(
        lambda _m, args, kwargs: ((args[0] + args[0].mean(dim=1, keepdim=True), *args[1:]), kwargs), with_kwargs=True
    )
    try:
        with pytest.raises(UserError, match="differ from plain forwards"):
            check(patcher, "odd")
    finally:
        handle.remove()


def test_the_model_is_as_it_was_afterwards():
    made = model("llama")
    ids = torch.tensor([texts(1, LENGTH)[0]])
    with torch.no_grad():
        before = made(ids).logits
    patcher = Patcher(made)
    patcher.run(all_patches(patcher)[:20])
    with torch.no_grad():
        assert torch.equal(made(ids).logits, before)
    assert not any("forward" in module.__dict__ for module in made.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.modules())
