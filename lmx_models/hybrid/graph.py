"""The graph of `--model hybrid`: stages, their prompts, the presets, and what is checked before a model is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from graphlib import CycleError, TopologicalSorter
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.yaml import read_yaml
from lmx_models.methods.method import Method
from lmx_models.methods.registry import method_named, takers_of
from lmx_models.methods.roles import others_named
from lmx_models.settings.arguments import build, refuse_unknown

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# `{plan}` is a placeholder and `{{plan}}` the literal text {plan}; any other brace, as in JSON, stands for itself.
PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>\s*[A-Za-z_]\w*\s*)\}")
EXPECTS = ("json",)


@dataclass(frozen=True)
class Template:
    """A prompt with placeholders such as ``{prompt}``; checked when made, filled in one pass."""

    text: str
    where: str

    def __post_init__(self) -> None:
        for match in PLACEHOLDER.finditer(self.text):
            name = match["name"]
            if name is not None and name != name.strip():
                raise UserError(f"{self.where}: {match[0]!r} is not a placeholder: write {{{name.strip()}}}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its placeholders, each once, in order."""
        names = (match["name"] for match in PLACEHOLDER.finditer(self.text))
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def check(self, known: Mapping[str, Any] | tuple[str, ...], needed: tuple[str, ...] = ()) -> None:
        """Raise a `UserError` for a placeholder that is not in `known`, or one of `needed` that is not there."""
        for name in self.inputs:
            if name not in known:
                raise unknown(f"placeholder in the prompt of {self.where}:", f"{{{name}}}", [f"{{{k}}}" for k in known])
        for name in needed:
            if name not in self.inputs:
                raise UserError(f"{self.where}: its prompt does not use {{{name}}}, so that text would not reach it")

    def render(self, values: Mapping[str, str]) -> str:
        """Put the values in, in one pass: braces inside a value are text, and are never filled in themselves."""
        return PLACEHOLDER.sub(
            lambda m: values[m["name"]] if m["literal"] is None else f"{{{m['literal']}}}", self.text
        )


@dataclass(frozen=True)
class Node:
    """One stage.

    Attributes:
        name: what later prompts call its text.
        model: a short name, a Hub id or a folder. `revision`: of a Hub model.
        method: how it decodes. `models`: the method's further models by role (``oracle`` of ``guided``), in a file keys
            of their own.
        prompt: template over ``{prompt}`` and other nodes' names.
        settings: of the method and of sampling; stronger than the run's and the task's.
        max_tokens: most tokens it writes; None: the task's ``max_gen_toks`` and its stop strings hold, as for the
            answer.
        stop: stop strings of a node with `max_tokens`.
        inputs: if given, exactly what the prompt must use.
        expect: ``json``: log whether the text is valid JSON.
    """

    name: str
    model: str
    method: str
    prompt: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = None
    expect: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None

    def __post_init__(self) -> None:
        where = f"node {self.name!r}"
        if not NAME.fullmatch(self.name) or self.name == "prompt":
            raise UserError(f"{where}: a name is a word of letters, digits and _, and not 'prompt'")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UserError(f"{where}: max_tokens={self.max_tokens} must be at least 1")
        if self.stop and self.max_tokens is None:
            raise UserError(f"{where}: stop needs max_tokens; without it the task's own stop strings hold")
        if self.expect is not None and self.expect not in EXPECTS:
            raise unknown(f"expect of {where}:", self.expect, EXPECTS)

    @property
    def described(self) -> Method:
        """Its method."""
        return method_named(self.method, f"method of node {self.name!r}:")

    @property
    def template(self) -> Template:
        """The prompt, ready to be filled."""
        return Template(self.prompt, f"node {self.name!r}")


@dataclass(frozen=True)
class Graph:
    """Stages in an order in which each comes after those it needs; the last one writes the answer."""

    nodes: tuple[Node, ...]

    @property
    def answer(self) -> Node:
        """The node whose text is the answer."""
        return self.nodes[-1]

    def node(self, name: str) -> Node:
        """Return a node by name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise unknown("node", name, [node.name for node in self.nodes])

    def up_to(self, name: str) -> Graph:
        """Return the part that `name` needs, with `name` as its answer."""
        needed = {name}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.template.inputs)
        return Graph((*(node for node in self.nodes if node.name in needed - {name}), self.node(name)))

    def as_dict(self) -> dict[str, Any]:
        """Return the graph as JSON-serialisable data, in the form of a graph file."""
        return {"answer": self.answer.name, "nodes": {node.name: node_dict(node) for node in self.nodes}}


def node_dict(node: Node) -> dict[str, Any]:
    """Return a node as JSON-serialisable data, without its name and what was left out."""
    keys = asdict(node)
    models = keys.pop("models")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in {**keys, **models}.items()
        if name != "name" and value not in (None, (), {})
    }


def read_graph(path: str) -> Graph:
    """Read a graph from a YAML file."""
    data = read_yaml(path, f"graph={path}")
    try:
        return make_graph(data)
    except UserError as error:
        raise UserError(f"graph={path}: {error}") from error


def make_graph(data: Any) -> Graph:
    """Return the graph that `data` describes: ``{"nodes": {name: {...}}, "answer": name}``.

    Raises:
        UserError: an unknown key, node or placeholder, a circle, a node that the answer does not need.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("nodes"), Mapping) or not data["nodes"]:
        raise UserError("a graph needs nodes: a mapping from each node's name to its model, method and prompt")
    refuse_unknown(map(str, data), ("nodes", "answer"), "key of a graph")
    nodes = {str(name): _node(str(name), given) for name, given in data["nodes"].items()}
    answer = str(data.get("answer") or list(nodes)[-1])
    if answer not in nodes:
        raise unknown("answer node", answer, nodes)
    for name, node in nodes.items():
        node.template.check(("prompt", *(other for other in nodes if other != name)))
        if node.inputs is not None:
            node.template.check(node.inputs, needed=node.inputs)
    needs = {name: [need for need in node.template.inputs if need in nodes] for name, node in nodes.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise UserError(f"the nodes need each other in a circle: {circle}") from error
    needed = Graph(tuple(nodes[name] for name in _in_order(needs))).up_to(answer)
    for name in nodes:
        if name not in [node.name for node in needed.nodes]:
            raise UserError(
                f"node {name!r} never reaches the answer {answer!r}: use {{{name}}} in a prompt, or drop it"
            )
    if all("prompt" not in node.template.inputs for node in needed.nodes):
        raise UserError("no node uses {prompt}: the question would reach no model")
    if needed.answer.max_tokens is not None:
        raise UserError(
            f"node {answer!r} writes the answer, whose limits are the task's: set max_gen_toks, not max_tokens"
        )
    return needed


def _in_order(needs: Mapping[str, list[str]]) -> list[str]:
    """Return the order of the file, as far as each comes after those that it needs."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        for need in needs[name]:
            place(need)
        placed.setdefault(name)

    for name in needs:
        place(name)
    return list(placed)


def _node(name: str, given: Any) -> Node:
    if not isinstance(given, Mapping):
        raise UserError(f"node {name!r}: a mapping with model, method and prompt is needed")
    method = method_named(str(given.get("method")), f"method of node {name!r}:") if given.get("method") else None
    keys = [f.name for f in fields(Node) if f.name not in ("name", "models")]
    for key in given:
        if key not in (*keys, *(method.others if method else ())) and (takers := takers_of(str(key))):
            raise UserError(f"node {name!r}: method={takers[0]} needs {key}=MODEL, method={given['method']} takes none")
    refuse_unknown(map(str, given), [*keys, *(method.others if method else ())], f"key of node {name!r}:")
    for key in ("model", "method", "prompt"):
        if not isinstance(given.get(key), str) or not given[key].strip():
            raise UserError(f"node {name!r}: {key} is missing")
    for key in ("stop", "inputs"):
        if given.get(key) is not None and not isinstance(given[key], list | tuple):
            raise UserError(f"node {name!r}: {key} must be a list")
    if not isinstance(given.get("settings", {}), Mapping):
        raise UserError(f"node {name!r}: settings must be a mapping")
    texts = ("model", "method", "prompt", "expect", "revision", "max_tokens")
    plain = build(_Plain, {key: given[key] for key in texts if key in given})
    lists: dict[str, Any] = {
        key: tuple(map(str, given[key])) for key in ("stop", "inputs") if given.get(key) is not None
    }
    models = others_named(method, given, f"node {name!r}: method={method.name}") if method else {}
    return Node(name, **asdict(plain), **lists, settings=dict(given.get("settings", {})), models=models)


@dataclass(frozen=True)
class _Plain:
    """The keys of a node that hold one value, with their types."""

    model: str
    method: str
    prompt: str
    expect: str | None = None
    revision: str | None = None
    max_tokens: int | None = None
