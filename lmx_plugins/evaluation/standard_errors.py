"""Standard errors of aggregations that are no plain mean, where lm_eval draws samples for every one of them.

lm_eval 0.4 bootstraps a list of its own aggregations and gives the others none. 0.5 bootstraps whatever is not `mean`:
100,000 times, in as many processes as there are cores, also an aggregation whose value is a table (accuracy by domain,
say), and then fails when it averages tables. There, what is no number gets no standard error, and an aggregation may
bring its own: a function of the values in its attribute ``standard_error``.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import Any

NONE = "N/A"
"""What lm_eval writes where there is no standard error."""

StandardError = Callable[[Sequence[Any]], float | str]


def prepare(module: Any) -> None:
    """Make an lm_eval that bootstraps everything ask aggregations first; runs after `lm_eval.api.metrics`."""
    if module.stderr_for_metric(_unknown, 1) is not None:
        module.stderr_for_metric = _asking(module.stderr_for_metric)


def _unknown(values: Sequence[Any]) -> float:
    """Stand for an aggregation that lm_eval cannot know."""
    return float(len(values))


def _asking(original: Callable[..., StandardError | None]) -> Callable[..., StandardError | None]:
    @functools.wraps(original)
    def stderr_for_metric(metric: Any, bootstrap_iters: int) -> StandardError | None:
        theirs = original(metric, bootstrap_iters)
        if theirs is None:  # none is wanted
            return None
        own: StandardError | None = getattr(metric, "standard_error", None)
        if own is not None:
            return own

        def standard_error(values: Sequence[Any]) -> float | str:
            return theirs(values) if isinstance(metric(values), numbers.Real) else NONE

        return standard_error

    return stderr_for_metric
