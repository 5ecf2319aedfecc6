"""Loaded models as methods are handed them, and how a further one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lmx_models.engine.self_check import check
from lmx_models.records.fingerprint import model_identity
from lmx_models.zoo import families, family_table
from lmx_models.zoo.loading import end_ids, load
from lmx_models.zoo.resolved import Resolved


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded model with its tokenizer.

    Attributes:
        name: as the user wrote it.
        source: where it came from: folder or Hub id, revision, commit; or a text that stands for it.
        max_length: its context in tokens.
        family: for a diffusion model that transformers does not know.
    """

    name: str
    model: Any
    tokenizer: Any
    source: str | tuple[str, str | None, str | None]
    max_length: int
    family: family_table.Family | None = None
    _masks: dict[int | None, int] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """As journals know it: a hash of its content, made when it is asked for, or its commit."""
        return self.source if isinstance(self.source, str) else model_identity(*self.source)

    def mask(self, given: int | None) -> int:
        """Return the id of the mask token; looked up once, for a large vocabulary takes a while."""
        if given not in self._masks:
            self._masks[given] = families.mask_id(self.model, self.tokenizer, given, self.family)
        return self._masks[given]


def load_weights(resolved: Resolved, name: str, dtype: torch.dtype, device: torch.device, self_check: bool) -> Weights:
    """Load a model beside the one that lm_eval loaded."""
    found = families.load(resolved, name, dtype, device)
    model, tokenizer, family = found if found else (*load(resolved, name, dtype, device), None)
    if self_check:
        check(model, name)
    source = (resolved.pretrained, resolved.revision, getattr(model.config, "_commit_hash", None))
    return Weights(name, model, tokenizer, source, model.config.max_position_embeddings, family)


def stop_ids(weights: Mapping[str, Weights]) -> frozenset[int]:
    """Return the ids that end a text, whichever of the method's models writes them."""
    return frozenset().union(*(end_ids(one.model, one.tokenizer) for one in weights.values()))


def loaded_by(lm: Any) -> Weights:
    """Return the model that lm_eval's ``hf`` loaded for a `DecoderLM`."""
    source = lm.writer_name
    if lm.given:
        source = (lm.given["pretrained"], lm.given.get("revision"), getattr(lm.model.config, "_commit_hash", None))
    return Weights(lm.writer_name, lm.model, lm.tokenizer, source, lm.max_length, lm.family)
