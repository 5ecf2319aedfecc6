"""A model that is told what an evaluation of lm_eval was asked for, and takes no request that lm_eval mixed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from lmx_files.errors import UserError
from lmx_plugins.evaluation.asked import Asked, origin
from lmx_plugins.evaluation.documents import check_limit, check_samples


class Evaluated(LM):
    """What lmx's models have in common where lm_eval's own flags meet them. Mix in before another `LM`."""

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Refuse lm_eval's cache of responses; see the message."""
        if getattr(cache_hook, "dbdict", None) is not None:
            raise _no_cache("")
        super().set_cache_hook(cache_hook)

    def begin_evaluation(self, asked: Asked) -> None:
        """Forget what an earlier evaluation left; called before the requests of each are made.

        Raises:
            UserError: what is asked for cannot be done right.
        """
        check_asked(asked)


def check_asked(asked: Asked) -> None:
    """Raise a `UserError` for flags of lm_eval that would give wrong results."""
    if asked.use_cache is not None:
        raise _no_cache(f" {asked.use_cache}")
    check_limit(asked.limit)
    check_samples(asked.samples)


def document_of(instance: Instance) -> Any:
    """Return the number of a request's document in its task's data set."""
    return origin(instance).document


def check_origins(requests: Sequence[Instance]) -> None:
    """Raise a `UserError` for requests that lm_eval took from its cache and that are not those of this run."""
    checks = {id(check): check for check in (origin(one).check for one in requests) if check is not None}
    for check in checks.values():
        check()


def _no_cache(path: str) -> UserError:
    return UserError(
        f"--use_cache{path}: lm_eval's cache of responses knows neither a model's settings nor its seed, and keeps one "
        "text where several samples are asked for. Leave it out: finished texts and likelihoods are kept by the "
        "journal (lmx run, or LMX_JOURNAL=DIR under lm_eval)"
    )
