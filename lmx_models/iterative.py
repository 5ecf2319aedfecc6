"""``--model iterative``: draft, critique, revise, over any inner method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_files.values import read_bool
from lmx_files.yaml import read_yaml
from lmx_models.core.base import Decoding
from lmx_models.core.completion import Completion
from lmx_models.core.trace import Trace
from lmx_models.decoding.composed.iterative import IterativeConfig, iterative
from lmx_models.decoding.composed.stages import Stage
from lmx_models.harness.decoder_lm import DEFAULT_MODEL
from lmx_models.harness.method_settings import hf_arguments
from lmx_models.hybrid.graph import Template
from lmx_models.methods.method import EXACT, Method, check_fit, plain_settings, setting_types
from lmx_models.methods.registry import method_named, takers_of
from lmx_models.methods.roles import load_others, others_named
from lmx_models.methods.staged import StageCall, StagedLM, StagedRequest
from lmx_models.methods.weights import Weights, stop_ids
from lmx_models.settings.arguments import build, fields_of, refuse_unknown
from lmx_models.settings.requests import Request
from lmx_models.zoo import catalogue

PROMPTS = {
    "draft": "{prompt}",
    "critique": """{prompt}

Here is an answer:
{text}

What is wrong with this answer? Compare it with all that was asked for. Write at most three short bullets that begin \
with "- ", one problem each. If nothing is wrong, write only: nothing is wrong""",
    "revise": """{prompt}

Here is an answer:
{text}

Here is what is wrong with it:
{critique}

Write the whole answer again without these problems, in the form that was asked for. Write the answer and nothing \
else.""",
}
# What each prompt may use, and what it must use, or that text would not reach the model.
KNOWN = {"draft": ("prompt",), "critique": ("prompt", "text"), "revise": ("prompt", "text", "critique")}
NEEDED = {"draft": ("prompt",), "critique": ("text",), "revise": ("text", "critique")}


class IterativeLM(StagedLM):
    """Iterative improvement.

    Args:
        pretrained: the model that drafts, criticises and revises (see `DecoderLM`).
        inner: how it decodes: the name of a method, of lmx or of a plugin.
        prompts: a YAML file with other prompts for ``critique`` or ``revise``.
        **kwargs: the further models of the inner method by role (``oracle`` of ``inner=guided``); fields of
            `IterativeConfig`, of the inner method's settings and of `Sampling`; arguments of ``hf``.
    """

    method: ClassVar[str] = "iterative"
    own_arguments: ClassVar[tuple[str, ...]] = ("inner", "prompts", "attn")
    declared: ClassVar[Mapping[str, str]] = {"inner": "by the settings", "prompts": "by `identity`"}
    models_in_flight: ClassVar[int] = 1

    def __init__(
        self,
        pretrained: Any = DEFAULT_MODEL,
        inner: str = "ar",
        prompts: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.inner, self._method = inner, method_named(inner, "inner method")
        self._refuse_models_of_others(kwargs)
        said: list[str] = []
        self.models_named = named = others_named(self._method, kwargs, f"inner={inner}", pretrained, said)
        self.prompts = _prompts(prompts)
        # Here these depend on `inner`.
        self.configs = (IterativeConfig, *self._method.settings, *self._method.run_settings)  # type: ignore[misc]
        self.own_arguments = (*self.own_arguments, *named)  # type: ignore[misc]
        self.models_in_flight = len(self._method.roles)  # type: ignore[misc]  # as for the method alone
        found = {role: catalogue.resolve(name) for role, name in named.items()}
        super().__init__(pretrained=pretrained, **self._method.fields(kwargs))
        self.notes += said
        self_check = read_bool("self_check", kwargs.get("self_check", True))
        self.weights = load_others(self, self._method, named, found, self_check)
        self.weights[self._method.roles[0]] = self.main
        check_fit(self._method, self.weights, self.settings, f"inner={inner}")
        self._most_rounds = 0

    def _refuse_models_of_others(self, given: Mapping[str, Any]) -> None:
        known = {*hf_arguments(), *fields_of(IterativeConfig), *setting_types(self._method), *self._method.others}
        for name in given:
            if name not in known and (takers := takers_of(name)):
                raise UserError(
                    f"inner={self.inner}, {name}={given[name]}: inner={' and inner='.join(takers)} needs {name}=MODEL, "
                    f"{self.inner} takes none"
                )

    # Models and settings.

    def stage_weights(self) -> dict[str, dict[str, Weights]]:
        """The same models for all stages of all rounds."""
        rounds = range(1, self._most_rounds + 1)
        names = ["draft", *(_name(kind, n) for n in rounds for kind in ("critique", "revise"))]
        return dict.fromkeys(names, self.weights)

    def stage_method(self, stage: str) -> Method:
        """The inner method, for every stage."""
        return self._method

    def uses(self, values: Mapping[str, Any]) -> list[tuple[str, Method, Mapping[str, Any]]]:
        """The inner method with the settings of the answer; the critic's differ in temperature alone."""
        return [(self.inner, self._method, values)]

    def source_ids(self) -> frozenset[int]:
        """Return the ids that end a text."""
        return stop_ids(self.weights)

    def _configs(self, values: Mapping[str, Any]) -> list[Any]:
        configs = super()._configs(values)
        for own in (values, _critic(values, build(IterativeConfig, values))):
            plain_settings(self._method, own)  # refuses settings that do not go together
        return configs

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings that `values` stand for, under the names that users write."""
        self._configs(values)
        config = dataclasses.asdict(build(IterativeConfig, values))
        return {"inner": self.inner, **plain_settings(self._method, values), **config}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the prompts."""
        models = {role: weights.name for role, weights in self.weights.items()}
        prompts = {name: template.text for name, template in self.prompts.items()}
        return {**super().describe(), "models": models, "prompts": prompts}

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: all models and the prompts."""
        models = {role: weights.identity for role, weights in self.weights.items()}
        prompts = {name: template.text for name, template in self.prompts.items()}
        return {**super().identity(values), "models": models, "prompts": prompts}

    def likelihood_settings(self) -> dict[str, Any]:
        """Likelihoods are those of the model; rounds take no part."""
        return {**super().likelihood_settings(), "scored": f"model {self._asked_name} alone; rounds take no part"}

    def _likelihoods(self, kind: str, requests: list[Instance], compute: Any, disable_tqdm: bool) -> list[Any]:
        if self._method.likelihood != EXACT:
            raise UserError(
                f"the model of inner={self.inner} has no autoregressive likelihood: score it with --model {self.inner}"
            )
        return super()._likelihoods(kind, requests, compute, disable_tqdm)

    # Texts.

    def _prepare(self, requests: Sequence[Instance]) -> list[Request]:
        prepared = super()._prepare(requests)
        rounds = [build(IterativeConfig, request.values).rounds for request in prepared]
        self._most_rounds = max(rounds, default=0)
        return prepared

    def generation_fields(self, gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return generation arguments under the names of the inner method's fields."""
        return self._method.fields(gen_kwargs)

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        assert isinstance(request, StagedRequest)
        config: IterativeConfig = build(IterativeConfig, request.values)

        def write(kind: str, number: int, texts: Mapping[str, str]) -> Stage:
            prompt = self.prompts[kind].render({"prompt": request.question, **texts})
            return self.stage(request, self._call(kind, number, request, config), prompt)

        return iterative(config, write)

    def _call(self, kind: str, number: int, request: StagedRequest, config: IterativeConfig) -> StageCall:
        """The draft draws the random numbers of the inner method on its own, so that both write the same text."""
        values, limits = request.values, (request.stopping.max_tokens, request.stopping.strings)
        seeds = request.seeds if kind == "draft" else (*request.seeds, _name(kind, number))
        if kind == "critique":
            values, limits = _critic(values, config), (config.critique_tokens, ())
        answers = kind != "critique"
        return StageCall(_name(kind, number), self._method, self.weights, values, *limits, seeds, answers)

    # What a run leaves.

    def records(self, trace: Trace) -> list[dict[str, Any]]:
        """Return the records of all stages of all rounds."""
        rounds = trace.extra["rounds"]
        return [entry[what] for entry in rounds for what in ("critique", "written") if entry[what] is not None]

    def answer_record(self, trace: Trace) -> dict[str, Any]:
        """Return the record of the last version."""
        record: dict[str, Any] = [e["written"] for e in trace.extra["rounds"] if e["written"] is not None][-1]
        return record

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        written = [entry["round"] for entry in text.trace.extra["rounds"] if entry["written"] is not None]
        self.counts["iterative_rounds", f"answers_of_round_{written[-1]}"] += 1
        self.counts["iterative_rounds", f"stopped_{text.trace.extra['stopped']}"] += 1
        return super()._keep(instance, request, text, fresh)

    def get_model_info(self) -> dict[str, Any]:
        """Return what every staged run does, with how many rounds the texts took and why they ended."""
        info = super().get_model_info()
        info["decoding"]["iterative_rounds"] = info["decoding"]["stages"].pop("iterative_rounds", {})
        return info


def _name(kind: str, number: int) -> str:
    return f"{kind} {number}" if number else kind


def _critic(values: Mapping[str, Any], config: IterativeConfig) -> Mapping[str, Any]:
    """Return the critic's settings: those of the answer, at a temperature of its own if one is set."""
    if config.critique_temperature is None:
        return values
    kept = {name: value for name, value in values.items() if name != "do_sample"}
    return {**kept, "temperature": config.critique_temperature}


def _prompts(path: str | None) -> dict[str, Template]:
    """Return the prompts of the stages, those of a file in the place of our own."""
    texts = dict(PROMPTS)
    if path is not None:
        given = read_yaml(path, f"prompts={path}")
        if not isinstance(given, Mapping) or not all(isinstance(text, str) for text in given.values()):
            raise UserError(f"prompts={path}: a mapping with texts for critique or revise is needed")
        refuse_unknown(map(str, given), ("critique", "revise"), f"prompt in {path}:")
        texts |= given
    templates = {name: Template(text, f"prompt {name!r}") for name, text in texts.items()}
    for name, template in templates.items():
        template.check(KNOWN[name], NEEDED[name])
    return templates
