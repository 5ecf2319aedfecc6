"""Where a model is put."""

from __future__ import annotations

import logging
from typing import Any

import torch

log = logging.getLogger(__name__)


def usable_device(asked: Any) -> str:
    """Return the device that a model is put on: the one asked for, or the fastest there is.

    lm_eval's command asks for ``cuda:0`` unless it is told otherwise; without CUDA that means the CPU, as for ``hf``.
    """
    if asked is None:
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if str(asked).startswith("cuda") and not torch.cuda.is_available():
        log.info("device=%s: there is no CUDA here; the model runs on the CPU", asked)
        return "cpu"
    return str(asked)
