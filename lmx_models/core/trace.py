"""The record that every completion carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lmx_models.core.base import Segment


@dataclass(slots=True)
class ModelCost:
    """What one sequence asked of one model.

    forwards: forwards it took part in, the prefill and the last one included. prefill / decode: tokens fed in the
    first forward / in all later ones. seconds: its share of the forwards' wall time, by tokens.
    """

    forwards: int = 0
    prefill: int = 0
    decode: int = 0
    seconds_prefill: float = 0.0
    seconds_decode: float = 0.0

    def add(self, other: ModelCost) -> None:
        """Add another sequence's cost to this one."""
        self.forwards += other.forwards
        self.prefill += other.prefill
        self.decode += other.decode
        self.seconds_prefill += other.seconds_prefill
        self.seconds_decode += other.seconds_decode


@dataclass(slots=True)
class Trace:
    """How a completion came about.

    Attributes:
        tokens: generated ids, a closing end-of-text id included.
        segments: who wrote which tokens, without gaps.
        finish: ``eos``, ``stop`` (a stop string), ``length`` (max_gen_toks) or ``context`` (no room left).
        prompt_tokens: ids in the prompt as it was fed (after truncation).
        dropped: tokens written and thrown away again.
        cost: by model name.
        seconds_to_first: from admission to the first logits. seconds: from admission to the end.
        extra: what only the method knows, JSON-serialisable.
    """

    tokens: list[int]
    segments: list[Segment]
    finish: str
    prompt_tokens: int = 0
    dropped: int = 0
    cost: dict[str, ModelCost] = field(default_factory=dict)
    seconds_to_first: float = 0.0
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def forwards(self) -> int:
        """Forwards of all models together."""
        return sum(cost.forwards for cost in self.cost.values())

    @property
    def fed(self) -> int:
        """Tokens fed to all models together, prompts included."""
        return sum(cost.prefill + cost.decode for cost in self.cost.values())

    @property
    def kept(self) -> int:
        """Tokens in the answer."""
        return len(self.tokens)

    def by_source(self) -> dict[str, int]:
        """Answer tokens by the source that wrote them."""
        counts: dict[str, int] = {}
        for segment in self.segments:
            counts[segment.source] = counts.get(segment.source, 0) + segment.end - segment.start
        return counts

    def as_dict(self) -> dict[str, Any]:
        """Return the trace as JSON-serialisable data (the form of the trace files)."""
        return asdict(self) | {"forwards": self.forwards, "fed": self.fed, "kept": self.kept}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Trace:
        """Return the trace that `as_dict` made `record` of."""
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        fields["segments"] = [Segment(**segment) for segment in record.get("segments", ())]
        fields["cost"] = {name: ModelCost(**cost) for name, cost in record.get("cost", {}).items()}
        return cls(**fields)
