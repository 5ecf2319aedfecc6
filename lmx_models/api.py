"""What plugins are made of: the one module of lmx that a package of yours needs to import.

Names are imported when they are first used, so ``import lmx_models.api`` costs nothing and brings no torch. A name that
stands here keeps its meaning and its arguments within a major version; everything else may move.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmx_files.errors import UserError as UserError
    from lmx_files.errors import unknown as unknown
    from lmx_models.core.base import Decoding as Decoding
    from lmx_models.core.base import Feed as Feed
    from lmx_models.core.base import Generation as Generation
    from lmx_models.core.base import Segment as Segment
    from lmx_models.core.completion import Completion as Completion
    from lmx_models.core.driver import drive as drive
    from lmx_models.core.driver import made_up as made_up
    from lmx_models.core.sampling import Sampling as Sampling
    from lmx_models.core.sampling import probabilities as probabilities
    from lmx_models.core.sampling import sample as sample
    from lmx_models.core.stopping import Stopping as Stopping
    from lmx_models.core.trace import ModelCost as ModelCost
    from lmx_models.core.trace import Trace as Trace
    from lmx_models.methods.method import Method as Method
    from lmx_models.methods.model import MethodLM as MethodLM
    from lmx_models.methods.weights import Weights as Weights
    from lmx_models.records.traces import RunStatistics as RunStatistics
    from lmx_models.settings.arguments import build as build
    from lmx_models.settings.arguments import refuse_unknown as refuse_unknown
    from lmx_models.settings.requests import Request as Request
    from lmx_models.trying import drive_method as drive_method
    from lmx_models.trying import texts_of as texts_of

# By name: the module, and what it is for.
NAMES = {
    "Completion": ("lmx_models.core.completion", "an answer: a string that carries its `Trace`"),
    "Decoding": ("lmx_models.core.base", "the type of a decoder: a generator of `Feed`s that returns a `Generation`"),
    "Feed": ("lmx_models.core.base", "what a decoder wants computed: tokens through one model"),
    "Generation": ("lmx_models.core.base", "what a decoder returns"),
    "Method": ("lmx_models.methods.method", "a way of decoding, described once"),
    "MethodLM": ("lmx_models.methods.model", "the base of a method's ``--model`` class"),
    "ModelCost": ("lmx_models.core.trace", "what a text cost of one model: forwards and tokens"),
    "Request": ("lmx_models.settings.requests", "a text to write: prompt, sampling, stopping, values, random numbers"),
    "RunStatistics": ("lmx_models.records.traces", "sums over the texts of a run, for the results file"),
    "Sampling": ("lmx_models.core.sampling", "how a token is drawn"),
    "Segment": ("lmx_models.core.base", "who wrote which tokens of an answer"),
    "Stopping": ("lmx_models.core.stopping", "when a text ends, and what of it is the answer"),
    "Trace": ("lmx_models.core.trace", "how an answer came about"),
    "UserError": ("lmx_files.errors", "a mistake that the user can mend: one line, no traceback"),
    "Weights": ("lmx_models.methods.weights", "a loaded model with its tokenizer"),
    "build": ("lmx_models.settings.arguments", "make a settings dataclass of a request's values"),
    "drive": ("lmx_models.core.driver", "run a decoder over functions instead of models"),
    "drive_method": ("lmx_models.trying", "run a `Method` over functions instead of models"),
    "made_up": ("lmx_models.core.driver", "such a function, for tests"),
    "probabilities": ("lmx_models.core.sampling", "the candidates of a draw and their probabilities"),
    "refuse_unknown": ("lmx_models.settings.arguments", "refuse an argument nobody knows, with the nearest name"),
    "sample": ("lmx_models.core.sampling", "draw one token"),
    "texts_of": ("lmx_models.trying", "texts from a loaded model, for tests"),
    "unknown": ("lmx_files.errors", "a `UserError` that names the nearest alternative"),
}
__all__ = list(NAMES)


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(NAMES[name][0]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(NAMES)
