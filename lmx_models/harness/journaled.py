"""An lm_eval model that knows what its results depend on, and takes finished ones from a journal."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lmx_files.errors import UserError
from lmx_files.journal import key_of
from lmx_models.harness.evaluated import Evaluated, check_origins
from lmx_models.harness.finite import check_likelihoods
from lmx_models.harness.method_settings import MethodSettings
from lmx_models.harness.resume import ResumeJournal
from lmx_models.records.fingerprint import arguments_identity, lmx_version, model_identity, own_identity, plugin_code
from lmx_models.settings.requests import Request


class JournaledLM(MethodSettings, Evaluated, HFLM):
    """`HFLM` with a journal; subclasses write the texts.

    Attributes:
        journal: None if there is none.
        _chats: the chats that prompts were rendered from, by prompt, where other models render them too.
        given: the arguments that lm_eval's ``hf`` was loaded with, by name; empty for a model handed in as an object.
    """

    method: ClassVar[str]
    journal: ResumeJournal | None
    given: dict[str, Any]
    seed: int
    _chats: Mapping[str, Any] = MappingProxyType({})

    # Two hooks for a model whose weights are not here.

    def load_writer(self, pretrained: Any, **kwargs: Any) -> None:
        """Load the model that writes as lm_eval's ``hf`` does, with its tokenizer."""
        super().__init__(pretrained=pretrained, **kwargs)

    def writer_facts(self) -> dict[str, Any]:
        """Return lm_eval's facts about the weights."""
        facts: dict[str, Any] = super().get_model_info()
        return facts

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return lm_eval's own likelihoods (nats, and whether greedy); finished ones come from the journal."""
        return self._likelihoods("loglikelihood", requests, super().loglikelihood, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return lm_eval's own rolling likelihoods (nats); finished ones come from the journal."""
        return self._likelihoods("loglikelihood_rolling", requests, super().loglikelihood_rolling, disable_tqdm)

    def _likelihoods(self, kind: str, requests: list[Instance], compute: Any, disable_tqdm: bool) -> list[Any]:
        check_origins(requests)
        compute = functools.partial(compute, disable_tqdm=disable_tqdm)
        if self.journal is None:
            found: list[Any] = compute(requests)
        else:
            description = {"kind": kind, **self.weights_identity(), "likelihood": self.likelihood_settings()}
            found = self.journal.likelihoods(self, description, requests, compute)
        check_likelihoods(self, requests, found)
        return found

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
        chat = self._chats.get(request.context)  # other models than the main one may see more of it than the context
        return key_of([header, *request.seeds, request.context, request.prompt, *([chat] if chat else [])])
