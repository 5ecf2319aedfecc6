"""What a metric is: the tests and the bounds follow from it, never from the values that a run happens to hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from lmx_files.errors import UserError, unknown

KINDS = ("rate", "score", "count", "cost")


@dataclass(frozen=True)
class Metric:
    """What a metric says of itself.

    Attributes:
        kind: ``rate`` (each text is 0 or 1: right or wrong), ``score`` (a mark on some scale), ``count`` (how many,
            from 0) or ``cost`` (tokens, seconds, from 0). Undeclared metrics are scores.
        higher_is_better: None for a metric without a direction.
        low, high: the least and the greatest value there can be; infinite where there is no such bound.
    """

    kind: str = "score"
    higher_is_better: bool | None = None
    low: float = -math.inf
    high: float = math.inf

    @property
    def bounded(self) -> bool:
        """Whether both bounds are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)


_BOUNDS = {"rate": (0.0, 1.0), "score": (-math.inf, math.inf), "count": (0.0, math.inf), "cost": (0.0, math.inf)}


def metric_of(declared: Any, where: str, higher_is_better: bool | None = None) -> Metric:
    """Return the metric that a task declares, ``rate`` or ``{kind: score, low: 0, high: 5}``; a score for None.

    Raises:
        UserError: the kind is none of `KINDS`, or a bound is no number; `where` names the place.
    """
    if declared is None:
        return Metric(higher_is_better=higher_is_better)
    given = declared if isinstance(declared, dict) else {"kind": declared}
    kind = given.get("kind", "score")
    if kind not in KINDS:
        raise unknown(f"kind of {where}", str(kind), KINDS)
    for name in given:
        if name not in ("kind", "low", "high"):
            raise unknown(f"key of {where}", str(name), ("kind", "low", "high"))
    low, high = _BOUNDS[kind]
    bounds = {"low": given.get("low", low), "high": given.get("high", high)}
    for name, value in bounds.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            raise UserError(f"{where}: {name} is {value!r}, not a number")
    if bounds["low"] >= bounds["high"]:
        raise UserError(f"{where}: low is {bounds['low']}, not below high, {bounds['high']}")
    return replace(Metric(kind, higher_is_better), low=float(bounds["low"]), high=float(bounds["high"]))
