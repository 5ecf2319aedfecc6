"""Patched runs the plain way, a full forward with one hook each: slow, and what `patch.py` is held against."""

from __future__ import annotations

import torch

from lmx_files.errors import UserError
from lmx_probes.patching.hooks import hooked
from lmx_probes.patching.patch import Patch, Patcher, patch_from

Tensor = torch.Tensor
LENGTH = 12
"""Tokens of the text on which a model is checked."""
TOLERANCE, TOLERANCE_OF_HALVES = 1e-3, 0.15
"""Largest difference of logits, of their spread; the second for 16-bit weights."""


@torch.no_grad()
def plain_forward(patcher: Patcher, patch: Patch) -> Tensor:
    """Return the logits after the last token, fp32 ``[vocabulary]``, of a whole forward of the model's own code."""
    places, columns = list(patch.positions), patcher.sites.columns(patch.head)

    def replaced(found: Tensor) -> Tensor:
        hidden = found.clone()
        part = hidden[0, places]
        part[:, columns] = patch.values
        hidden[0, places] = part
        return hidden

    with hooked(patcher.sites.blocks[patch.layer], patch.component, replaced):
        ids = torch.tensor([patch.base.tokens], device=patcher.model.device)
        logits: Tensor = patcher.model(input_ids=ids, use_cache=False).logits[0, -1].float()
    return logits


def check(patcher: Patcher, name: str) -> float:
    """Compare patched runs of every component with plain forwards on a short random text; refuse a model that differs.

    Returns:
        The largest difference of the logits, relative to the spread of the logits (standard deviation).

    Raises:
        UserError: the model computes otherwise than patching takes for granted.
    """
    sites = patcher.sites
    vocabulary = patcher.model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    base, source = torch.randint(0, vocabulary, (2, LENGTH), generator=generator).tolist()
    components = ("residual", "attention", "mlp", "head")
    halves = patcher.model.dtype in (torch.float16, torch.bfloat16)
    tolerance = TOLERANCE_OF_HALVES if halves else TOLERANCE
    try:
        of_base, of_source = patcher.capture([base, source], components)
        patches = [
            patch_from(sites, of_base, of_source, component, layer, (4, LENGTH - 2), head)
            for layer in sorted({0, sites.layers // 2, sites.layers - 2} - {-1})
            for component in components
            for head in ([sites.heads - 1] if component == "head" else [None])
        ]
        found = patcher.run(patches)
        plain = torch.stack([plain_forward(patcher, patch) for patch in patches])
    except (TypeError, AttributeError, RuntimeError, ValueError, LookupError, NotImplementedError) as error:
        why = str(error).splitlines()[0] if str(error) else "no message"
        raise UserError(
            f"{name}: activations of {type(patcher.model).__name__} cannot be patched ({type(error).__name__}: {why}). "
            "Models shaped like Llama, Qwen, Mistral, Gemma and GPT-2 can"
        ) from error
    spread = float(plain.std())
    difference = float((found - plain).abs().max()) / max(spread, 1e-12)
    if not difference <= tolerance:
        raise UserError(
            f"{name}: patched runs of {type(patcher.model).__name__} differ from plain forwards by {difference:.1e} of "
            f"the logits' spread (allowed: {tolerance:g}), so its effects would be wrong"
        )
    return difference
