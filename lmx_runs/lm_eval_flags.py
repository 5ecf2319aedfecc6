"""lm_eval's own flags where it takes what gives wrong results, or ends in a traceback: checked before anything runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from lmx_files.errors import UserError
from lmx_files.values import is_none, read_int
from lmx_plugins.evaluation.documents import check_limit, read_samples

SEEDS = ("random", "numpy", "torch", "few-shot")
MOST_SEED = 2**32 - 1  # numpy takes no larger one


def check(given: argparse.Namespace, value: Callable[[str], Any]) -> None:
    """Check flags, and put what was checked into the namespace that lm_eval reads.

    Args:
        value: returns what the command line or the ``--config`` file says of a flag.

    Raises:
        UserError: a value that lm_eval would take for something else, or a flag that gives wrong results.
    """
    given.cache_requests = _no_request_cache(value("cache_requests"))
    check_limit(value("limit"))
    if (samples := read_samples(value("samples"))) is not None:
        given.samples = samples
    _check_seed(value("seed"))


def _no_request_cache(asked: Any) -> dict[str, bool]:
    """Return lm_eval's settings of its cache of requests: never used, perhaps deleted."""
    if isinstance(asked, Mapping):
        used = bool(asked.get("cache_requests") or asked.get("rewrite_requests_cache"))
        delete = bool(asked.get("delete_requests_cache"))
    else:
        word = str(asked or "false").lower()
        used, delete = word not in ("false", "delete"), word == "delete"
    if used:
        raise UserError(
            "--cache_requests: lm_eval finds cached requests by a key that knows neither --gen_kwargs nor --samples, "
            "and decodes with the settings of an earlier run, or scores answers of other documents. Leave it out: "
            "requests are made in seconds, and finished texts are kept by the journal (--cache_requests delete "
            "removes what is there)"
        )
    return {"cache_requests": False, "rewrite_requests_cache": False, "delete_requests_cache": delete}


def _check_seed(seed: Any) -> None:
    seeds = seed if isinstance(seed, list | tuple) else [seed]
    for name, one in zip(SEEDS, seeds, strict=False):
        if is_none(one):
            continue
        where = "--seed" if len(set(map(str, seeds))) == 1 else f"--seed ({name})"
        if read_int(where, one, least=0) > MOST_SEED:
            raise UserError(f"{where}={one} must be at most {MOST_SEED}")
