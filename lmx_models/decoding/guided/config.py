"""Settings of guided decoding."""

from __future__ import annotations

from dataclasses import dataclass

from lmx_files.errors import UserError, unknown
from lmx_models.decoding.guided.signals import SIGNALS

HANDBACKS = ("k", "newline", "confident")


@dataclass(frozen=True)
class GuidedConfig:
    """Settings of guided decoding.

    Attributes:
        c: most consultations of the oracle per text (``inf``: no limit).
        k: most tokens the oracle writes per consultation (``inf``: until the end).
        max_oracle_tokens: most oracle tokens per text, all consultations together (to match budgets of policies), as
            the oracle's own tokenizer counts them; so is k.
        handback: the oracle stops after ``k`` tokens, at the first ``newline``, or when it is ``confident`` (its top
            probability reaches `oracle_confidence`); k is a limit in each case.
        discard: base tokens thrown away before the oracle writes (never tokens of the oracle).
        oracle_temperature: 0 is greedy, as published.
        record: a signal logged at every base token (entropy, varentropy, margin, top_p), for calibration.
    """

    c: float = 20
    k: float = 10
    max_oracle_tokens: float = float("inf")
    handback: str = "k"
    oracle_confidence: float = 0.9
    discard: int = 0
    oracle_temperature: float = 0.0
    record: str | None = None

    def __post_init__(self) -> None:
        for name in ("c", "k", "max_oracle_tokens", "discard"):
            value = getattr(self, name)
            if not value >= 0 or (value != float("inf") and value != int(value)):
                raise UserError(f"{name}={value:g} must be a whole number of at least 0, or inf")
        if self.discard == float("inf"):
            raise UserError("discard=inf must be a whole number of at least 0")
        if self.handback not in HANDBACKS:
            raise unknown("handback", self.handback, HANDBACKS)
        if not 0 <= self.oracle_confidence <= 1:
            raise UserError(f"oracle_confidence={self.oracle_confidence} must lie in [0, 1]")
        if self.record is not None and self.record not in SIGNALS:
            raise unknown("signal in record", self.record, SIGNALS)

    @property
    def oracle_only(self) -> bool:
        """c = k = inf: the control in which the oracle writes everything."""
        return self.c == self.k == float("inf")

    @property
    def watches_oracle(self) -> bool:
        """The oracle may hand back before its k tokens are written."""
        return self.handback != "k"
