"""``--model NAME`` of a method that is described by a `Method`: a class of two lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_files.values import read_bool
from lmx_models.core.base import Decoding
from lmx_models.core.completion import Completion
from lmx_models.engine import flash_attention
from lmx_models.engine.slot_attention import attend_by
from lmx_models.engine.step_model import StepModel
from lmx_models.harness.decoder_lm import DEFAULT_MODEL, DecoderLM
from lmx_models.methods.method import AttentionConfig, Method, check_fit
from lmx_models.methods.roles import load_others, others_named
from lmx_models.methods.weights import Weights, stop_ids
from lmx_models.settings.arguments import build, fields_of
from lmx_models.settings.requests import Request
from lmx_models.zoo import catalogue
from lmx_models.zoo.resolved import Resolved


class MethodLM(DecoderLM):
    """A method as a model of lm_eval; everything follows from `described`.

    Args:
        pretrained: the model that writes (see `DecoderLM`). Of a method with several models, the first role's name is
            another name for it.
        **kwargs: a model for each further role, under the role's name; fields of the method's settings and of
            `Sampling`; arguments of ``hf``. A further model is found before any weights are loaded, shared with the
            first where it is the same, checked, and told in results and journals.

    Attributes:
        weights: the loaded models by role. `run_values`: settings of the whole run, as they came out. `attn`: the
            attention in use, ``sdpa`` or ``flash``.
    """

    described: ClassVar[Method]
    weights: Mapping[str, Weights]
    run_values: dict[str, Any]
    attn: str = "sdpa"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take from the description what `DecoderLM` must know; what a class says itself stays."""
        super().__init_subclass__(**kwargs)
        if (described := vars(cls).get("described")) is None:
            return
        cls.method = described.name
        cls.models_in_flight = len(described.roles)  # each text waits for one of them: so all have full batches
        if "configs" not in vars(cls):
            cls.configs = described.settings
        run = (*fields_of(*described.run_settings), *(("attn",) if described.flash else ()))
        cls.own_arguments = (*cls.own_arguments, *described.others, *run, *described.names)
        told = dict.fromkeys((*described.roles, *run), "by `identity`")
        cls.declared = {**told, **vars(cls).get("declared", {})}

    def __init__(self, pretrained: Any = None, **kwargs: Any) -> None:
        kwargs = self.described.fields(kwargs)
        pretrained = self._writer(pretrained, kwargs)
        attention: AttentionConfig = build(AttentionConfig, kwargs if self.described.flash else {})
        runs = [build(config, kwargs) for config in self.described.run_settings]
        self.run_values = {name: value for run in runs for name, value in dataclasses.asdict(run).items()}
        said: list[str] = []
        self.models_named = others_named(self.described, kwargs, f"--model {self.method}", pretrained, said)
        found = {role: self._find(role, name, kwargs) for role, name in self.models_named.items()}
        super().__init__(pretrained=pretrained, **kwargs)
        self.notes += said
        self.weights = self._load(found, read_bool("self_check", kwargs.get("self_check", True)))
        self._check_fit()
        if self.described.flash:
            self.attn = flash_attention.choose(attention.attn, self.device, self.model.dtype)
            self.run_values["attn"] = self.attn  # told as it came out
        if writer := self.weights.get(self.described.roles[0]):
            self.settings = {**self.described.of(writer), **self.settings}

    # Models.

    def _writer(self, pretrained: Any, kwargs: dict[str, Any]) -> Any:
        """Return the model that writes, which a method with several models knows by its role too."""
        writer = self.described.roles[0]
        named = kwargs.pop(writer, None) if self.described.others else None
        if named is not None and pretrained not in (None, named):
            raise UserError(f"pretrained={pretrained} and {writer}={named} are two names for one thing: give one")
        given = pretrained if named is None else named
        return self.described.models.get(writer, DEFAULT_MODEL) if given is None else given

    def _find(self, role: str, name: str, kwargs: dict[str, Any]) -> Resolved | None:
        """Look for a further model before the first one's weights are loaded."""
        return catalogue.resolve(name)

    def _load(self, found: Mapping[str, Resolved | None], self_check: bool) -> dict[str, Weights]:
        """Load the further models; return all by role."""
        here = {role: resolved for role, resolved in found.items() if resolved is not None}
        return load_others(self, self.described, self.models_named, here, self_check)

    def _check_fit(self) -> None:
        check_fit(self.described, self.weights, {**self.run_values, **self.settings})

    def step_models(self, rows: int, slots: int) -> dict[str, StepModel]:
        """Return the models by role; the same weights share one set of forwards."""
        models = {role: one.model for role, one in self.weights.items()}
        shared = [id(model) for model in models.values()]
        steps = {id(one): StepModel(one, rows * shared.count(id(one)), slots) for one in models.values()}
        if self.attn == "flash":
            for step in steps.values():
                attend_by(step.cache, flash_attention.rows_varlen)
        return {role: steps[id(model)] for role, model in models.items()}

    def source_ids(self) -> frozenset[int]:
        """End of text from any of the models ends the text."""
        return stop_ids(self.weights)

    @property
    def max_length(self) -> int:
        """The smallest context of the models."""
        others = getattr(self, "weights", {})  # not there yet while lm_eval loads the first
        return min([super().max_length, *(others[role].max_length for role in self.described.others if role in others)])

    # Texts.

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        values = {**self.run_values, **request.values}
        self.described.note(values, self.notes)
        whole = dataclasses.replace(request, values=values)
        return self.described.decoder(whole, self.weights, **self.start_arguments(request))

    def start_arguments(self, request: Request) -> dict[str, Any]:
        """Return what this class hands to the method's `start` beside request and weights."""
        return {}

    def generation_fields(self, gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return generation arguments under the names of the fields."""
        return self.described.fields(gen_kwargs)

    def _configs(self, values: Mapping[str, Any]) -> list[Any]:
        configs = super()._configs(values)
        if self.described.check is not None:
            self.described.check({**self.run_values, **values})
        return configs

    # What is told of a run.

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings under the names that users give them."""
        return self.described.as_written(super().plain(values))

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the further models' names."""
        return {**super().describe(), **self.described.as_written(self.run_values), **self.models_named}

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: the further models too."""
        code = self.described.code()
        told = {**self.run_values, **self.others_identity(), **({"method_code": code} if code else {})}
        return {**super().identity(values), **told, **self.described.depends_on({**self.run_values, **values})}

    def others_identity(self) -> dict[str, Any]:
        """Return what stands for the further models in a journal."""
        return {role: self.weights[role].identity for role in self.described.others}

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        self.statistics.count(dict(self.described.counted(text.trace.extra)))
        return super()._keep(instance, request, text, fresh)

    def get_model_info(self) -> dict[str, Any]:
        """Return what every decoder's run does, with what the method tells of it."""
        info = super().get_model_info()
        if self.described.summary is not None:
            info["decoding"].update(self.described.summary(self._gathered))
        return info

    def likelihood_settings(self) -> dict[str, Any]:
        """Likelihoods are those of the model that writes; the others take no part."""
        settings = super().likelihood_settings()
        if self.described.others:
            settings["scored"] = f"{self._asked_name} alone; {' and '.join(self.described.others)} takes no part"
        return settings

    def _likelihoods(self, kind: str, requests: list[Instance], compute: Any, disable_tqdm: bool) -> list[Any]:
        if self.described.likelihood is None:
            raise UserError(f"--model {self.method} has no likelihoods: choose tasks that generate, or use --model ar")
        return super()._likelihoods(kind, requests, compute, disable_tqdm)
