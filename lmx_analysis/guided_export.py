"""Guided answers as one JSON object a line, in the study's fields.

========================== =====================================================================================
c, k                       whole numbers, or ``"inf"`` for no limit
base_model_id              as it was named to the run; so is oracle_model_id
prompt                     the text that the base was given, chat template included
result                     the answer as it was scored
ground_truth               the document's ``answer`` if it has one, else its target
parsed_answer              what the scoring read in the answer; null if nothing could be read, or is not known
interleaved_outputs        the answer in pieces, ``[{"source": "base" | "oracle", "text": ...}, ...]``
cheat_positions            where the oracle was asked: tokens of the answer before its first token, from 0
total_tokens_generated     tokens of the answer, by both models, a closing end-of-text token included
========================== =====================================================================================
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lmx_analysis.guided_runs import GuidedText, guided_texts, settings_of
from lmx_analysis.runs import Run, read_jsonl
from lmx_metrics.counting import parse_count
from lmx_metrics.math.answer import extract
from lmx_plugins.errors import UserError

FIELDS = (
    "c", "k", "base_model_id", "oracle_model_id", "prompt", "result", "ground_truth", "parsed_answer",
    "interleaved_outputs", "cheat_positions", "total_tokens_generated",
)  # fmt: skip
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
        "interleaved_outputs": [{"source": source, "text": piece} for source, piece in text.line["pieces"]],
        "cheat_positions": [consultation["at"] for consultation in text.consultations],
        "total_tokens_generated": len(text.tokens),
    }


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


def records(runs: Sequence[Run], tasks: Sequence[str], filter_name: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the answers of all runs, in the order of the runs, tasks and documents."""
    for run in runs:
        for task in (task for task in tasks if task in run.sample_files):
            settings = settings_of(run, task)
            for text in guided_texts(run, task, filter_name):
                yield record(text, settings)


def write_jsonl(path: Path, lines: Iterable[dict[str, Any]]) -> int:
    """Write a JSONL file in one go and return its number of lines; an older file stays until all is written.

    Raises:
        UserError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # logged texts may hold half a surrogate pair; json.dumps leaves it, and so must the file
        with draft.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
        os.replace(draft, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}. Choose another file with -o") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def read_export(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of an exported file; a line that lacks a field is an error that names it."""
    for number, line in enumerate(read_jsonl(path, "an exported file"), 1):
        missing = [name for name in FIELDS if name not in line]
        if missing:
            raise UserError(f"{path}, answer {number}: no {', '.join(missing)}; is it made by `lmx guided-export`?")
        yield line


def whole(value: float) -> int | str:
    """Return a number of tokens or consultations for JSON, which has no infinity."""
    return "inf" if value == math.inf else int(value)
