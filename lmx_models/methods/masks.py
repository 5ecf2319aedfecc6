"""Where a model that fills masks has its mask token, and what its logits speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmx_files.errors import UserError
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.methods.weights import Weights
from lmx_models.settings.arguments import build
from lmx_models.zoo import family_table


@dataclass(frozen=True)
class Mask:
    """`mask_id`: the mask token of a diffusion model; None: the one that its files name."""

    mask_id: int | None = None


@dataclass(frozen=True)
class MaskAndShift(Mask):
    """`shift`: whether a row of logits speaks of the next position; None: as in the model's family, else not."""

    shift: bool | None = None


def mask_of(weights: Weights, values: Mapping[str, Any]) -> int:
    """Return the id of the mask token; raises `UserError` if the model has none."""
    return weights.mask(build(Mask, values).mask_id)


def head_of(weights: Weights, values: Mapping[str, Any]) -> Head:
    """Return how the model's logits are read."""
    layout: MaskAndShift = build(MaskAndShift, values)
    shifted = weights.family is not None and weights.family.shifted if layout.shift is None else layout.shift
    return Head(weights.mask(layout.mask_id), shifted)


def has_mask(weights: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
    """Refuse a model without a mask token."""
    (one,) = weights.values()
    mask_of(one, values)


def sees_all(weights: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
    """Refuse a model without a mask token, or whose tokens cannot all see one another."""
    ((role, one),) = weights.items()
    refuse_other_attention(one.model.config, one.family, role)
    mask_of(one, values)


def refuse_other_attention(config: Any, family: family_table.Family | None, method: str) -> None:
    """Refuse models whose tokens cannot all see one another."""
    if family is not None and family.causal:
        raise UserError(f"{family.name} models fill masks under causal attention: use --model wedlm, not {method}")
    window = getattr(config, "sliding_window", None)
    if window and "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"]):
        raise UserError(
            f"--model {method} needs full attention, and layers of this model see only {window} tokens back: name a "
            "model that was trained to fill masks"
        )
