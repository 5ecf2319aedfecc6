"""An lm_eval model that knows what its results depend on, and takes finished ones from a journal."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lmx_models.evaluated import Evaluated, check_origins
from lmx_models.fingerprint import (
    arguments_identity,
    constructor_arguments,
    lmx_version,
    model_identity,
    own_identity,
    plugin_code,
)
from lmx_models.journal import key_of
from lmx_models.requests import Request
from lmx_models.resume import ResumeJournal
from lmx_plugins.errors import UserError


@functools.cache
def hf_arguments() -> frozenset[str]:
    """Return the names of the arguments of lm_eval's ``hf``."""
    return frozenset(name for name in inspect.signature(HFLM.__init__).parameters if name not in ("self", "kwargs"))


class JournaledLM(Evaluated, HFLM):
    """`HFLM` with a journal; subclasses write the texts.

    All arguments that a model is made with count, for the journal and in the results, unless they are declared in
    `declared`: a plugin with a second model need not think of it.

    Attributes:
        declared: arguments of a class that need not be told as they are, with the reason: they change no text
            (a key, a time-out), or are told in another way (by `identity`).
        constructor: the arguments that this model was made with, by name.
        journal: None if there is none.
        given: the arguments that lm_eval's ``hf`` was loaded with, by name; empty for a model handed in as an object.
    """

    method: ClassVar[str]
    journal: ResumeJournal | None
    given: dict[str, Any]
    seed: int
    constructor: dict[str, Any]
    declared: ClassVar[Mapping[str, str]] = {
        "pretrained": "by its content or commit",
        "base": "another name of pretrained",
        "seed": "by its value",
        "do_sample": "by the sampler's settings",
        "traces": "changes no text",
        "journal": "changes no text",
        "self_check": "changes no text",
    }

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Note the arguments, whatever a subclass makes of them."""
        model = super().__new__(cls)
        model.constructor = constructor_arguments(cls.__init__, args, kwargs)
        return model

    def own_arguments_given(self) -> dict[str, Any]:
        """Return the arguments that only a subclass knows, and that are not declared to be told otherwise."""
        declared = {name for kind in type(self).__mro__ for name in vars(kind).get("declared", ())}
        known = declared | hf_arguments() | set(self.setting_names())
        return {name: value for name, value in self.constructor.items() if name not in known}

    def setting_names(self) -> Iterable[str]:
        """Return all names that users give the method's settings."""
        raise NotImplementedError

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings that `values` stand for, defaults included, as JSON-serialisable data."""
        raise NotImplementedError

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return lm_eval's own likelihoods (nats, and whether greedy); finished ones come from the journal."""
        return self._likelihoods("loglikelihood", requests, super().loglikelihood, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return lm_eval's own rolling likelihoods (nats); finished ones come from the journal."""
        return self._likelihoods("loglikelihood_rolling", requests, super().loglikelihood_rolling, disable_tqdm)

    def _likelihoods(self, kind: str, requests: list[Instance], compute: Any, disable_tqdm: bool) -> list[Any]:
        check_origins(requests)
        if self.journal is None:
            return compute(requests, disable_tqdm=disable_tqdm)
        compute = functools.partial(compute, disable_tqdm=disable_tqdm)
        description = {"kind": kind, **self.weights_identity(), "likelihood": self.likelihood_settings()}
        return self.journal.likelihoods(self, description, requests, compute)

    def likelihood_settings(self) -> dict[str, Any]:
        """Return how likelihoods are computed, for the results file and the journal."""
        return {"method": "lm_eval HFLM (exact, autoregressive)"}

    def weights_identity(self) -> dict[str, Any]:
        """Return what stands for the loaded model in a journal."""
        if not self.given:
            raise UserError(
                "a journal needs pretrained=NAME or a folder: it cannot tell one loaded object from another"
            )
        commit = getattr(self.model.config, "_commit_hash", None)
        arguments = {name: value for name, value in self.given.items() if name != "pretrained"}
        return {
            "lmx": lmx_version(),
            "method": self.method,
            "code": plugin_code(type(self).__mro__),
            "model": model_identity(self.given["pretrained"], arguments.get("revision"), commit),
            "dtype": str(self.model.dtype),
            "device": self.device.type,
            "arguments": arguments_identity(arguments),
            "own_arguments": own_identity(self.own_arguments_given()),
        }

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text with the settings `values` depends on, its task and prompt apart."""
        return {**self.weights_identity(), "seed": self.seed, "settings": self.plain(values)}

    def text_key(self, task: str | None, request: Request) -> str:
        """Return the key of a text in the journal; empty without one."""
        if self.journal is None:
            return ""
        limits = {"max_gen_toks": request.stopping.max_tokens, "until": request.stopping.strings}
        header = self.journal.header({"kind": "text", "task": task, **self.identity(request.values), **limits})
        return key_of([header, *request.seeds, request.context, request.prompt])
