"""Values that a run recorded of its own tokens while it wrote them: taken as they are, no model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lmx_files.errors import UserError
from lmx_models.zoo import catalogue
from lmx_probes import models, scores
from lmx_probes.entropy import measure
from lmx_probes.entropy.encode import TokenNames
from lmx_probes.entropy.inputs import Inputs, Item

if TYPE_CHECKING:
    from lmx_probes.entropy.measure import Scored
    from lmx_probes.entropy.workspace import Workspace


def from_recorded(inputs: Inputs, model: str, name: str, scored: Scored, work: Workspace, notes: list[str]) -> bool:
    """Write the parts of one model from what its run recorded; False (and nothing written) where it did not record all.

    Args:
        model: as the user named it; it must be the run's own.
    """
    if (
        inputs.model is None
        or not _same(model, inputs.model)
        or not all(_complete(item, e.scored) for item, e in zip(scored.items, scored.encoded, strict=True))
    ):
        return False
    names = TokenNames(models.tokenizer_of(model))
    parts = work.tokens(name)
    for number in measure.missing(work, name, scored):
        part = scored.parts[number]
        values = {
            key: torch.tensor([value for i in part for value in (scored.items[i].recorded or {})[key]])
            for key in scores.COLUMNS
        }
        parts.write(number, measure.columns(scored, part, values, None, names))
    notes.append(f"{name}: taken from what the run recorded while it wrote (record=); no forward was made")
    return True


def _complete(item: Item, count: int) -> bool:
    known = item.recorded or {}
    return all(
        isinstance(known.get(key), list) and len(known[key]) == count and None not in known[key]
        for key in scores.COLUMNS
    )


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return catalogue.resolve(a).pretrained == catalogue.resolve(b).pretrained
    except UserError:
        return False
