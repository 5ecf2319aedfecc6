"""Lets tasks know how many tokens a likelihood is of, which lm_eval's results do not say.

A task sets `WANTED` on its requests. Around an evaluation the model's `loglikelihood` then hands those back as
`Counted`: the same number, with the tokens of the continuation as lm_eval cuts it (`_encode_pair`). It wraps the
outermost method, so likelihoods out of a journal or lm_eval's cache are counted too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WANTED = "lmx_count_tokens"
"""Attribute of a request whose tokens are to be counted."""


class Counted(float):
    """A log-likelihood in nats, with `tokens`, the number of tokens it is of."""

    tokens: int

    def __new__(cls, value: float, tokens: int) -> Counted:
        """Return `value` with its number of tokens."""
        counted = super().__new__(cls, value)
        counted.tokens = tokens
        return counted


@contextmanager
def counting(lm: Any) -> Iterator[None]:
    """Count tokens while the block runs; a model that cannot cut a text into tokens is left as it is."""
    original, encode = getattr(lm, "loglikelihood", None), getattr(lm, "_encode_pair", None)
    if not callable(original) or not callable(encode):
        yield
        return

    @functools.wraps(original)
    def loglikelihood(requests: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        scored = original(requests, *args, **kwargs)
        return [
            (Counted(value[0], len(encode(*request.args)[1])), *value[1:]) if hasattr(request, WANTED) else value
            for request, value in zip(requests, scored, strict=True)
        ]

    lm.loglikelihood = loglikelihood
    try:
        yield
    finally:
        del lm.loglikelihood
