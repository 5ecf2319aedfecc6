"""Guided answers as one JSON object a line, in the study's fields.

========================== =====================================================================================
c, k                       whole numbers, or ``"inf"`` for no limit
base_model_id              as it was named to the run; so is oracle_model_id
prompt                     the text that the base was given, chat template included
result                     the answer as it was scored
ground_truth               the document's ``answer`` if it has one, else its target
parsed_answer              what the scoring read in the answer; null if nothing could be read, or is not known
interleaved_outputs        the answer in pieces, ``[{"model_type": "base" | "oracle", "output": ...}, ...]``; a piece of
                           the oracle is what it wrote when asked once, and also has ``oracle_tokens`` and
                           ``oracle_tokens_normalized``: its length in tokens of the answer, and over all of them
cheat_positions            for each piece of the oracle, in order: tokens of the answer before it, from 0
total_tokens_generated     tokens of the answer, by both models, a closing end-of-text token included
========================== =====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lmx_analysis.guided.runs import GuidedText, guided_texts, settings_of
from lmx_files.runs.folders import Run
from lmx_metrics.counting import parse_count
from lmx_metrics.math.notation.answer import extract

LOGGED = ("parsed_answer", "parsed", "answer", "prediction")
"""Names under which a task may log what it read, the likeliest first."""
# How tasks of ours read an answer that they do not log; by the beginning of the task's name.
PARSERS: dict[str, Callable[[str], Any]] = {"lmx_math": extract, "category_counting": parse_count}
# Filters that pass the text on as it is.
NO_FILTER = ("none", "take_first", "keep_all")


def record(text: GuidedText, settings: dict[str, Any]) -> dict[str, Any]:
    """Return one answer in the study's fields, in their order.

    Args:
        settings: of its run and task, see `settings_of`.
    """
    doc = text.sample.get("doc")
    answer = doc.get("answer") if isinstance(doc, dict) else None
    return {
        "c": whole(settings["c"]),
        "k": whole(settings["k"]),
        "base_model_id": settings["base"],
        "oracle_model_id": settings["oracle"],
        "prompt": text.prompt,
        "result": text.text,
        "ground_truth": text.sample.get("target") if answer is None else answer,
        "parsed_answer": parsed_answer(text),
        "interleaved_outputs": interleaved(text),
        "cheat_positions": [one["start"] for one in text.trace["segments"] if one["source"] == "oracle"],
        "total_tokens_generated": len(text.tokens),
    }


def interleaved(text: GuidedText) -> list[dict[str, Any]]:
    """Return the answer in pieces, as the study's scripts read them."""
    pieces = []
    if len(text.line["pieces"]) != len(text.trace["segments"]):  # not cut by who wrote
        return [{"model_type": source, "output": piece} for source, piece in text.line["pieces"]]
    for (source, piece), segment in zip(text.line["pieces"], text.trace["segments"], strict=True):
        length = segment["end"] - segment["start"]
        share = {"oracle_tokens": length, "oracle_tokens_normalized": length / len(text.tokens)}
        pieces.append({"model_type": source, "output": piece, **(share if source == "oracle" else {})})
    return pieces


def parsed_answer(text: GuidedText) -> Any:
    """Return what the scoring read: as the task logged it, as its filter left it, or as a task of ours reads it."""
    for name in LOGGED:
        if isinstance(text.values.get(name), str) or (name == LOGGED[0] and name in text.values):
            return text.values[name]
    if text.sample.get("filter", "none") not in NO_FILTER:
        filtered = text.sample.get("filtered_resps") or [None]
        return filtered[text.repeat if len(filtered) > text.repeat else 0]
    parsers = [parser for beginning, parser in PARSERS.items() if text.task.startswith(beginning)]
    return parsers[0](text.text) if parsers else None


def records(
    runs: Sequence[Run], tasks: Sequence[str], filter_name: str | None = None, notes: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the answers of all runs, in the order of the runs, tasks and documents; `notes`: see `guided_texts`."""
    for run in runs:
        for task in (task for task in tasks if task in run.sample_files):
            settings = settings_of(run, task)
            for text in guided_texts(run, task, filter_name, notes):
                yield record(text, settings)


def whole(value: float) -> int | str:
    """Return a number of tokens or consultations for JSON, which has no infinity."""
    return "inf" if value == math.inf else int(value)
