"""What a decoding method is set to: by arguments of the model, by a task, by ``--gen_kwargs``."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from lm_eval.models.huggingface import HFLM
from lm_eval.utils import simple_parse_args_string

from lmx_files.errors import UserError
from lmx_models.core.sampling import Sampling
from lmx_models.records.fingerprint import constructor_arguments
from lmx_models.settings.arguments import build, fields_of, refuse_unknown
from lmx_models.settings.generation_defaults import with_model_defaults
from lmx_models.settings.requests import COMMON_GEN_KWARGS, read_generation, sampling_of, without_neutral
from lmx_models.zoo.loading import model_name
from lmx_plugins.evaluation.asked import Asked


@functools.cache
def hf_arguments() -> frozenset[str]:
    """Return the names of the arguments of lm_eval's ``hf``."""
    return frozenset(name for name in inspect.signature(HFLM.__init__).parameters if name not in ("self", "kwargs"))


class MethodSettings:
    """What a model was made with and is set to. Mix in before `HFLM`.

    All arguments that a model is made with count, for the journal and in the results, unless they are declared in
    `declared`: a plugin with a second model need not think of it.

    Attributes:
        configs: the method's dataclasses, besides `Sampling`; their fields are what can be set.
        settings: those of the run, as the user wrote them.
        models_named: further models by role, the arguments that name them: told by `identity`.
        declared: arguments of a class that need not be told as they are, with the reason: they change no text
            (a key, a time-out), or are told in another way (by `identity`).
        constructor: the arguments that this model was made with, by name.
        takes_pretrained: ``pretrained`` names the model that writes; False: other arguments name all models.
    """

    method: ClassVar[str]
    takes_pretrained: ClassVar[bool] = True
    configs: ClassVar[tuple[type, ...]] = ()
    settings: dict[str, Any]
    models_named: Mapping[str, str] = MappingProxyType({})
    max_gen_toks: int
    model: Any
    _asked_name: str
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

    @property
    def writer_name(self) -> str:
        """The model that writes the answers, as the user named it."""
        return self._asked_name

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Note the arguments, whatever a subclass makes of them."""
        model: Any = super().__new__(cls)
        model.constructor = constructor_arguments(cls.__init__, args, kwargs)
        return model

    def own_arguments_given(self) -> dict[str, Any]:
        """Return the arguments that only a subclass knows, and that are not declared to be told otherwise."""
        declared = {name for kind in type(self).__mro__ for name in vars(kind).get("declared", ())}
        known = declared | hf_arguments() | set(self.setting_names()) | set(self.models_named)
        return {name: value for name, value in self.constructor.items() if name not in known}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, defaults included, and what else the model was made with."""
        own = json.loads(json.dumps(self.own_arguments_given(), default=model_name))
        return {**self.plain(self.sampled(self.settings)), **own}

    @property
    def generation_config(self) -> Any:
        """How the model's own files want it sampled; None: they do not say, or lie on a server."""
        return getattr(self.model, "generation_config", None) if hasattr(self, "_model") else None

    def sampled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with what ``sampling=model`` stands for filled in."""
        return with_model_defaults(values, self.generation_config, self._asked_name)

    def setting_names(self) -> list[str]:
        """Return all names that users give the method's settings."""
        fields = fields_of(Sampling, *self.configs)
        return [
            *fields,
            *(name for name in self.constructor if set(self.generation_fields({name: None})) <= set(fields)),
        ]

    def generation_fields(self, gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return generation arguments under the names of the configs' fields, where users know them by others."""
        return dict(gen_kwargs)

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings that `values` stand for, defaults included, as JSON-serialisable data."""
        settings = {k: v for config in self._configs(values) for k, v in dataclasses.asdict(config).items()}
        return {k: "inf" if v == float("inf") else v for k, v in settings.items()}  # JSON has no infinity

    def _configs(self, values: Mapping[str, Any]) -> list[Any]:
        return [sampling_of(values), *(build(config, values) for config in self.configs)]

    def _generation(self, gen_kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], int, list[str]]:
        """Read a request's generation arguments: settings, most tokens, stop strings."""
        given = without_neutral(self.generation_fields(gen_kwargs))
        allowed = {*fields_of(Sampling, *self.configs), *COMMON_GEN_KWARGS}
        refuse_unknown(given, allowed, f"generation argument of --model {self.method}")
        return read_generation(given, self.max_gen_toks)

    def _check_generation(self, asked: Asked) -> None:
        """Raise a `UserError` for mistakes in ``--gen_kwargs`` and in the settings of the tasks that are asked for."""
        given = asked.gen_kwargs
        if isinstance(given, str):
            given = simple_parse_args_string(given)
        for task, own in {"": {}, **asked.task_settings}.items():
            try:
                self._configs({**self.settings, **self._generation({**own, **(given or {})})[0]})
            except UserError as error:
                if not task:
                    raise
                raise UserError(f"task {task}: {error}") from error
