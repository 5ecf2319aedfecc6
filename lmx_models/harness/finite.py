"""Numbers that are none: NaN among logits or likelihoods is refused, for what is made of it looks like any other."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.core.distributions import NotFiniteError
from lmx_models.harness.evaluated import document_of
from lmx_models.settings.requests import Request


@contextlib.contextmanager
def naming_texts(lm: Any, instances: Sequence[Instance], requests: Sequence[Request]) -> Iterator[None]:
    """Turn logits that are no numbers into one line that names the text; jobs' keys are numbers of requests.

    Raises:
        UserError: instead of `NotFiniteError`.
    """
    try:
        yield
    except NotFiniteError as error:
        i = int(str(error.key))
        at = max(0, error.position + 1 - len(requests[i].prompt))
        where = f"in the text of {_where(instances[i])}, near its token {at}"
        raise no_numbers(lm, f"logits of model {error.role!r} are NaN or infinite {where}") from None


def check_likelihoods(lm: Any, instances: Sequence[Instance], found: Sequence[Any]) -> None:
    """Refuse likelihoods that are no numbers; minus infinity is one (a token that cannot be).

    Raises:
        UserError: the first of them is named.
    """
    for instance, value in zip(instances, found, strict=True):
        if not is_likelihood(value):
            raise no_numbers(lm, f"the log-likelihood of {_where(instance)} is {_nats(value)}")


def is_likelihood(value: Any) -> bool:
    """Tell whether a result, (nats, greedy) or nats alone, is a number below infinity."""
    return _nats(value) < math.inf


def _nats(value: Any) -> float:
    return float(value[0] if isinstance(value, (tuple, list)) else value)


def _where(instance: Instance) -> str:
    return f"document {document_of(instance)} of {instance.task_name}"


def no_numbers(lm: Any, found: str) -> UserError:
    """Return the error for what was found, with what may be wrong and what to do."""
    dtype = str(getattr(getattr(lm, "model", None), "dtype", "its dtype")).removeprefix("torch.")
    return UserError(
        f"{lm._asked_name}: {found}: the weights are damaged, or the numbers too large for {dtype}: try dtype=float32 "
        "or bfloat16, or a fresh copy"
    )
