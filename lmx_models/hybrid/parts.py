"""The two halves of a cut graph: which nodes run in this process, and whether a buffer fits the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_models.hybrid.buffer import Buffer, Key, check_writable, differences, named, read_buffer, write_buffer
from lmx_models.hybrid.graph import Graph, Node, node_dict
from lmx_models.methods.staged import StagedRequest
from lmx_models.records.fingerprint import lmx_version
from lmx_models.settings.generation_defaults import DEFAULTS
from lmx_models.settings.requests import Request

STAGES = ("make", "consume")
MOST_NAMED = 4


class Part:
    """The part of a graph that runs in this process.

    Args:
        stage: ``make`` (up to `cut`, into the file `buffer`), ``consume`` (on from it), or None: the whole graph.
        agreed: what else both halves must agree on, seed among it.

    Attributes:
        nodes: those that run here, in order. `buffer`: what was read; None unless ``consume``.

    Raises:
        UserError: arguments that do not belong together, a buffer that is damaged, was made from another graph or
            with other settings, or cannot be written. No model has been loaded then.
    """

    def __init__(
        self, graph: Graph, stage: str | None, cut: str | None, buffer: str | None, agreed: Mapping[str, Any]
    ) -> None:
        self.stage, self.nodes = stage, graph.nodes
        self.buffer: Buffer | None = None
        self._agreed = dict(agreed)
        self._path = Path(buffer or "")
        self._made: list[dict[str, Any]] = []
        if stage is None:
            if cut or buffer:
                raise UserError("cut= and buffer= belong to a graph in two parts: add stage=make or stage=consume")
            return
        if stage not in STAGES:
            raise unknown("stage", stage, STAGES)
        if not buffer:
            raise UserError(f"stage={stage} needs buffer=FILE: the file between the two parts of the graph")
        self.nodes = self._make(graph, cut) if stage == "make" else self._consume(graph, cut)

    def _make(self, graph: Graph, cut: str | None) -> tuple[Node, ...]:
        before = [node.name for node in graph.nodes[:-1]]
        if cut is None or cut not in before:
            asked = "stage=make needs cut=NODE" if cut is None else f"cut={cut} is no node before the answer"
            raise UserError(f"{asked}: name the last node to run, one of {', '.join(before) or '(there is none)'}")
        nodes = graph.up_to(cut).nodes
        check_writable(self._path, self._header(nodes))
        return nodes

    def _consume(self, graph: Graph, cut: str | None) -> tuple[Node, ...]:
        self.buffer = buffer = read_buffer(self._path)
        if cut not in (None, buffer.cut):
            raise UserError(f"cut={cut}, but buffer={self._path} was cut at {buffer.cut!r}: leave out cut")
        done = graph.up_to(buffer.cut).nodes
        here = self._header(done)
        if changed := differences({name: buffer.header.get(name) for name in here}, here):
            what = "; ".join(changed[:MOST_NAMED])
            raise UserError(f"buffer={self._path}, line 1: {what}. Restore that, or make the buffer again")
        return tuple(node for node in graph.nodes if node not in done)

    def _header(self, nodes: Sequence[Node]) -> dict[str, Any]:
        return {"cut": nodes[-1].name, "nodes": {node.name: node_dict(node) for node in nodes}, **self._agreed}

    def check_texts(
        self, requests: Sequence[StagedRequest], settings: Callable[[str, StagedRequest], dict[str, Any]]
    ) -> None:
        """Raise a `UserError` unless the buffer has every text, made from the same prompt with the same settings.

        Args:
            settings: the settings of a node for a request.
        """
        if self.buffer is None:
            return
        missing: list[Key] = []
        lines: dict[str, list[int]] = {}
        for request in requests:
            number, line = self.buffer.texts.get(key_of(request), (0, {}))
            if not number:
                missing.append(key_of(request))
            elif line["prompt_hash"] != request.prompt_hash:
                lines.setdefault("made from another prompt", []).append(number)
            else:
                for record in line["stages"]:
                    name = record["stage"]
                    here = settings(name, request)
                    there = {n: value for n, value in record["settings"].items() if n in here or n not in DEFAULTS}
                    for change in differences(there, here):
                        lines.setdefault(f"node {name!r}: {change}", []).append(number)
        found = [f"{named(numbers)}: {what}" for what, numbers in list(lines.items())[:MOST_NAMED]]
        if missing:
            first = "task {}, document {}, request {}, repeat {}".format(*missing[0])
            found.append(f"no line for {len(missing)} of {len(requests)} texts, the first of {first}")
        if found:
            raise UserError(f"buffer={self._path} does not fit this run: {'; '.join(found)}")

    def finished(self, request: Request) -> list[dict[str, Any]]:
        """Return the records of the stages that the buffer holds for a text."""
        if self.buffer is None:
            return []
        records: list[dict[str, Any]] = self.buffer.texts[key_of(request)][1]["stages"]
        return records

    def add(self, request: StagedRequest, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep a text's finished stages for the buffer that this process makes, if it does."""
        if self.stage == "make":
            task, document, idx, repeat = key_of(request)
            where = {"task": task, "doc_id": document, "idx": idx, "repeat": repeat}
            self._made.append({**where, "prompt_hash": request.prompt_hash, "stages": list(records)})

    def made(self) -> list[dict[str, Any]]:
        """Return the texts that were kept."""
        return self._made

    def write(self, texts: Sequence[Mapping[str, Any]], models: Mapping[str, str]) -> None:
        """Write the buffer. `models`: what stands for the weights, by name."""
        write_buffer(self._path, {**self._header(self.nodes), "models": dict(models), "lmx": lmx_version()}, texts)


def key_of(request: Request) -> Key:
    """Return which text a request asks for."""
    _, task, document, idx, repeat = request.seeds
    return str(task), int(str(document)), int(str(idx)), int(str(repeat))
