"""``--model hybrid``: a graph of stages, each with a model, a method and a prompt over earlier stages' texts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_files.values import read_bool
from lmx_models.core.base import Decoding
from lmx_models.core.completion import Completion
from lmx_models.core.sampling import Sampling
from lmx_models.core.trace import Trace
from lmx_models.decoding.composed.hybrid import hybrid
from lmx_models.decoding.composed.stages import Stage
from lmx_models.harness.decoder_lm import chosen_seed
from lmx_models.hybrid.graph import Graph, Node
from lmx_models.hybrid.parts import Part
from lmx_models.hybrid.presets import chosen_graph
from lmx_models.methods.method import EXACT, Method, check_fit, check_settings, plain_settings, setting_types
from lmx_models.methods.roles import load_each, place_of
from lmx_models.methods.staged import StageCall, StagedLM, StagedRequest, stage_settings
from lmx_models.methods.weights import Weights, stop_ids
from lmx_models.settings.arguments import fields_of
from lmx_models.settings.generation_defaults import DEFAULTS, unheeded, with_model_defaults
from lmx_models.settings.requests import Request
from lmx_models.zoo import catalogue

# Arguments of lm_eval's `hf` that speak of one model, where a graph has several.
OF_ONE_MODEL = (
    "pretrained",
    "revision",
    "tokenizer",
    "peft",
    "delta",
    "subfolder",
    "gguf_file",
    "autogptq",
    "gptqmodel",
)
# Those on which a stage's prompt or text depends, so that both halves of a cut graph must agree on them.
OF_ALL_STAGES = ("chat_template_args", "enable_thinking", "think_end_token", "add_bos_token", "max_length")


class HybridLM(StagedLM):
    """A graph of models.

    Args:
        preset: ``ar_to_diffusion`` or ``diffusion_to_ar``, with `ar`, `diffusion` and `diffusion_method`.
        graph: instead of a preset, a YAML file with nodes.
        stage: ``make`` writes the stages up to `cut` to the file `buffer`; ``consume`` goes on from it. None: all
            stages in this process.
        seed: of all sampling.
        **kwargs: ``NODE_SETTING`` (as in ``plan_temperature=0.3``), fields of `Sampling` for nodes that set none of
            their own, and arguments of ``hf``.
    """

    method: ClassVar[str] = "hybrid"
    takes_pretrained: ClassVar[bool] = False  # the nodes name their models
    own_arguments: ClassVar[tuple[str, ...]] = (
        *("preset", "graph", "ar", "diffusion", "diffusion_method"),
        *("stage", "cut", "buffer", "attn"),
    )
    declared: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("preset", "graph", "ar", "diffusion", "diffusion_method"), "by the graph in `identity`"),
        **dict.fromkeys(("stage", "cut"), "by `identity`"),
        "buffer": "by the hash of what is read from it",
    }

    def __init__(
        self,
        preset: str | None = None,
        graph: str | None = None,
        ar: str | None = None,
        diffusion: str | None = None,
        diffusion_method: str | None = None,
        stage: str | None = None,
        cut: str | None = None,
        buffer: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        seed, seed_from = chosen_seed(seed)
        for name in OF_ONE_MODEL:
            if kwargs.get(name) is not None:
                raise UserError(f"{name}={kwargs[name]}: --model hybrid has several models; its nodes name them")
        self._weights: dict[tuple[str, str | None], Weights] = {}
        self.graph = chosen_graph(preset, graph, ar, diffusion, diffusion_method)
        for node in self.graph.nodes:
            check_settings(node.described, node.settings, f"node {node.name!r}")
        self.configs = (_node_settings(self.graph),)  # type: ignore[misc]  # here they depend on the graph
        agreed = {"seed": seed, "arguments": {name: kwargs[name] for name in OF_ALL_STAGES if name in kwargs}}
        self.part = Part(self.graph, stage, cut, buffer, agreed)
        self.nodes = self.part.nodes
        main = self.nodes[-1]
        resolved = {named: catalogue.resolve(*named[:1], revision=named[1]) for named in _models_of(self.nodes)}
        super().__init__(pretrained=main.model, seed=seed, revision=main.revision or "main", **kwargs)
        if stage is None:  # the halves of a cut graph have one seed, whatever they are evaluated with
            self._seed_from = seed_from
        mine = place_of(resolved[main.model, main.revision])
        self_check = read_bool("self_check", kwargs.get("self_check", True))
        self._weights = load_each(self, resolved, {mine: self.main}, lambda named: named[0], self_check)
        for node in self.nodes:
            check_fit(
                node.described,
                self._weights_of(node),
                self._values(node, self.settings),
                f"node {node.name!r}",
            )
        self.notes += [one.note for one in resolved.values() if one.note and place_of(one) != mine]
        others = {one.identity: one for one in self._weights.values() if one is not self.main}.values()
        self.notes += [note for one in others if (note := unheeded(one.model.generation_config, one.name))]
        if stage == "make":
            self.notes.append(
                f"stage=make: the texts are those of node {main.name!r} and no answers, so their scores mean nothing"
            )

    def _start_counting(self) -> None:
        super()._start_counting()
        self.part.made().clear()

    # Models.

    def _weights_of(self, node: Node) -> dict[str, Weights]:
        names = [(node.model, node.revision), *((name, None) for name in node.models.values())]
        roles = node.described.roles
        return {role: self._weights[name] for role, name in zip(roles, names, strict=True)}

    def stage_weights(self) -> dict[str, dict[str, Weights]]:
        """The models of every node that runs in this process."""
        return {node.name: self._weights_of(node) for node in self.nodes}

    def stage_method(self, stage: str) -> Method:
        """The method of a node."""
        return self.graph.node(stage).described

    def uses(self, values: Mapping[str, Any]) -> list[tuple[str, Method, Mapping[str, Any]]]:
        """The method and settings of every node that runs in this process."""
        return [(node.name, node.described, self._values(node, values)) for node in self.nodes]

    def source_ids(self) -> frozenset[int]:
        """Return the ids that end the answer."""
        return stop_ids(self._weights_of(self.nodes[-1]))

    # Settings.

    def _values(self, node: Node, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a node's settings: its own, over them ``NODE_SETTING``, below them the sampling of run and task."""
        given = {setting: values.get(f"{node.name}_{setting}") for setting in setting_types(node.described)}
        own = {**node.settings, **{name: value for name, value in given.items() if value is not None}}
        below = {name: values[name] for name in (*fields_of(Sampling), "do_sample") if name in values}
        if {"temperature", "do_sample"} & set(own):
            below = {name: value for name, value in below.items() if name not in ("temperature", "do_sample")}
        mine = {**below, **own}
        weights = self._weights.get((node.model, node.revision))  # None: not yet, or in another process
        return with_model_defaults(mine, weights.model.generation_config, weights.name) if weights else mine

    def sampled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings as they are: ``sampling=model`` is for each node what its own model's files say."""
        return dict(values)

    def _call(self, node: Node, request: StagedRequest) -> StageCall:
        return StageCall(
            node.name,
            node.described,
            self._weights_of(node),
            self._values(node, request.values),
            *_limits(node, request),
            (*request.seeds, node.name),
            answers=node is self.graph.answer,
        )

    def _settings(self, name: str, request: StagedRequest) -> dict[str, Any]:
        node = self.graph.node(name)
        values = self._values(node, request.values)
        settings = stage_settings(node.described, values, *_limits(node, request))
        if settings["sampling"] == "model":  # what its model's files filled in is known where it ran
            return {name: one for name, one in settings.items() if name not in DEFAULTS or values.get(name) is not None}
        return settings

    def _configs(self, values: Mapping[str, Any]) -> list[Any]:
        for node in self.graph.nodes:
            check_settings(node.described, self._values(node, values), f"node {node.name!r}")
        configs = super()._configs(values)
        for node in self.graph.nodes:
            if node.max_tokens is not None and _max_tokens(node, values) < 1:
                raise UserError(f"{node.name}_max_tokens={_max_tokens(node, values)} must be at least 1")
        return configs

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings that `values` stand for: of each node, and the sampling of nodes that set none."""
        sampling = dataclasses.asdict(self._configs(values)[0])
        nodes = {node.name: plain_settings(node.described, self._values(node, values)) for node in self.graph.nodes}
        return {**sampling, "nodes": nodes}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the whole graph and the part of it that ran here."""
        part: dict[str, Any] = {"stage": self.part.stage, "nodes_here": [node.name for node in self.nodes]}
        if buffer := self.part.buffer:
            part |= {"buffer_sha256": buffer.sha256, "models_of_buffer": buffer.header.get("models")}
        return {**super().describe(), "graph": self.graph.as_dict(), **part}

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: the whole graph, all models, and the buffer."""
        buffer = self.part.buffer.sha256 if self.part.buffer else None
        mine = {"graph": self.graph.as_dict(), "models": self._identities(), "stage": self.part.stage}
        return {**super().identity(values), **mine, "buffer": buffer}

    def _identities(self) -> dict[str, str]:
        return {
            f"{name}@{revision}" if revision else name: weights.identity
            for (name, revision), weights in self._weights.items()
        }

    # Likelihoods.

    def likelihood_settings(self) -> dict[str, Any]:
        """Likelihoods are those of the answer's model alone."""
        node = self.nodes[-1]
        scored = f"model {node.model} of node {node.name!r} alone; no other node takes part"
        return {**super().likelihood_settings(), "scored": scored}

    def _likelihoods(self, kind: str, requests: list[Instance], compute: Any, disable_tqdm: bool) -> list[Any]:
        node = self.nodes[-1]
        if self.part.stage == "make":
            raise UserError("stage=make writes texts only: leave likelihood tasks to stage=consume")
        if node.described.likelihood != EXACT:
            raise UserError(
                f"node {node.name!r} writes the answer with {node.method}, whose model has no autoregressive "
                f"likelihood: score it with --model {node.method}"
            )
        return super()._likelihoods(kind, requests, compute, disable_tqdm)

    # Texts.

    def decode(self, request: Request) -> Decoding:
        """Return the decoder of one text."""
        assert isinstance(request, StagedRequest)
        calls = {node.name: self._call(node, request) for node in self.nodes}

        def write(name: str, texts: Mapping[str, str]) -> Stage:
            return self.stage(request, calls[name], self.graph.node(name).template.render(texts))

        def score(name: str, text: str) -> dict[str, Any]:
            return {"json": _is_json(text)} if self.graph.node(name).expect == "json" else {}

        return hybrid(list(calls), request.question, self.part.finished(request), write, score)

    def records(self, trace: Trace) -> list[dict[str, Any]]:
        """Return the records of all stages."""
        records: list[dict[str, Any]] = trace.extra["stages"]
        return records

    def answer_record(self, trace: Trace) -> dict[str, Any]:
        """Return the record of the last stage."""
        return self.records(trace)[-1]

    # The two halves of a cut graph.

    def _prepare(self, requests: Sequence[Instance]) -> list[Request]:
        prepared = super()._prepare(requests)
        self.part.check_texts([one for one in prepared if isinstance(one, StagedRequest)], self._settings)
        return prepared

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        assert isinstance(request, StagedRequest)
        self.part.add(request, self.records(text.trace))
        return super()._keep(instance, request, text, fresh)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Write a text for every request; with ``stage=make``, the buffer too."""
        texts = super().generate_until(requests, disable_tqdm)
        if self.part.stage == "make":
            made = self.gather_object(self.part.made()) or []
            if self.rank == 0:
                self.part.write([line for lines in made for line in lines], self._identities())
        return texts


def _limits(node: Node, request: Request) -> tuple[int, tuple[str, ...]]:
    """Return a node's own limit and stop strings, or the task's."""
    if node.max_tokens is None:
        return request.stopping.max_tokens, request.stopping.strings
    return _max_tokens(node, request.values), node.stop


def _max_tokens(node: Node, values: Mapping[str, Any]) -> int:
    given = values.get(f"{node.name}_max_tokens")
    return int(given if given is not None else node.max_tokens or 0)


def _node_settings(graph: Graph) -> type:
    """Return a dataclass with the fields ``NODE_SETTING``; None: as the graph says."""
    hints: dict[str, Any] = {}
    for node in graph.nodes:
        for setting, hint in setting_types(node.described).items():
            name = f"{node.name}_{setting}"
            if name in hints or name in fields_of(Sampling) or name in OF_ALL_STAGES:
                raise UserError(f"node {node.name!r}: {name} would mean two things; give the node another name")
            hints[name] = hint | None
        if node.max_tokens is not None:
            hints[f"{node.name}_max_tokens"] = int | None
    return dataclasses.make_dataclass("NodeSettings", [(name, hint, None) for name, hint in hints.items()], frozen=True)


def _models_of(nodes: Sequence[Node]) -> list[tuple[str, str | None]]:
    """Return the models that the nodes name, each once, with the revision."""
    named = [(node.model, node.revision) for node in nodes]
    named += [(name, None) for node in nodes for name in node.models.values()]
    return list(dict.fromkeys(named))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
