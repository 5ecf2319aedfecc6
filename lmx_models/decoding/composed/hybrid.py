"""A graph of stages: each writes a whole text from a prompt that holds earlier texts; the last one is the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmx_models.core.base import Decoding, Generation
from lmx_models.decoding.composed.stages import Stage


def hybrid(
    nodes: Sequence[str],
    question: str,
    finished: Sequence[Mapping[str, Any]],
    write: Callable[[str, Mapping[str, str]], Stage],
    score: Callable[[str, str], dict[str, Any]],
) -> Decoding:
    """Run `nodes` in order, each with the texts of all stages before it.

    Args:
        nodes: names, each after those that it needs; the last one writes the answer.
        question: the text of ``prompt``.
        finished: records of stages that were written elsewhere.
        write: makes the stage of a node, given the texts by name (``prompt`` among them).
        score: what else to log of a node, given its text.

    Returns:
        The answer's tokens; ``extra["stages"]`` has the record of every stage.
    """
    texts = {"prompt": question, **{record["stage"]: record["text"] for record in finished}}
    records = [{**record, "from_buffer": True} for record in finished]
    dropped = 0
    for node in nodes:
        stage = yield from write(node, texts)
        texts[node] = stage.text
        records.append({**stage.record(), **score(node, stage.text)})
        dropped += stage.cost.dropped
    answer = stage.generation
    return Generation(answer.tokens, stage.segments(stage.name), answer.finish, dropped, {"stages": records})
