"""Reads the samples of counting tasks: one row a question, with what the answer was read as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lmx_files.errors import UserError, few
from lmx_files.runs.folders import Run, find_runs
from lmx_metrics.aggregation import texts_of_document
from lmx_metrics.count_parts import parse_length, parse_parts
from lmx_metrics.counting import parse_count
from lmx_metrics.yes_no import parse_yes_no

PREFIX = "category_counting"
COUNT = "count"
"""The variant of plain counting: documents that name none."""
NUMBERS = (COUNT, "all", "nonce", "partitioned")
VARIANTS = (*NUMBERS, "membership")


@dataclass(frozen=True)
class Answers:
    """The answers to one task.

    Attributes:
        task, variant: its name, and which of `VARIANTS` it is.
        table: a row a question: `id`, `doc_id`, `category`, `source`, `prompt`, `text`, `right`, and

            - numbers: `length`, `gold`, `answer` (NaN: unparsed), `words` (a list), `position`, `format`;
              partitioned also `parts_right` (share), `parts_parsed`, `sum_agrees` (NaN: not both said);
            - membership: `word`, `member`, `yes` (NaN: unparsed).
    """

    task: str
    variant: str
    table: pd.DataFrame


@dataclass(frozen=True)
class Counted:
    """All counting tasks of a model. `notes`: what a reader should know of how they were read."""

    model: str
    stamp: str
    tasks: list[Answers]
    notes: list[str] = field(default_factory=list)

    def of(self, variant: str) -> list[Answers]:
        """Return the tasks that are of a variant."""
        return [each for each in self.tasks if each.variant == variant]


def load(paths: Sequence[Path]) -> Counted:
    """Read every counting task of finished runs; of a task that ran several times, the newest run.

    Raises:
        UserError: there is no run, no counting task with samples, or there are runs of several models.
    """
    runs = [run for path in paths for run in find_runs(path)]
    if not runs:
        raise UserError(f"{few(paths)} holds no results_*.json: give the --output_path of a finished run")
    newest: dict[str, Run] = {}
    models: set[str] = set()
    notes: list[str] = []
    for run in sorted(runs, key=lambda each: each.stamp):
        for task in run.sample_files:
            if task.startswith(PREFIX):
                if task in newest:
                    notes.append(f"{task} ran more than once; read is the newest run, {run.file.name}")
                newest[task] = run
                models.add(_model(run))
    if not newest:
        raise UserError(_nothing(runs))
    if len(models) > 1:
        raise UserError(f"these are runs of several models ({few(sorted(models))}): report each by itself")
    shots = {str(run.results.get("n-shot", {}).get(task)) for task, run in newest.items()}
    if len(shots) > 1:
        notes.append(f"the tasks ran with different numbers of examples ({', '.join(sorted(shots))})")
    tasks = [_answers(run, task, notes) for task, run in newest.items()]
    order = {name: place for place, name in enumerate(VARIANTS)}
    tasks.sort(key=lambda each: (order[each.variant], each.task))
    stamp = max(run.stamp for run in newest.values())
    return Counted(next(iter(models)), stamp, tasks, list(dict.fromkeys(notes)))


def _nothing(runs: Sequence[Run]) -> str:
    tasks = sorted({task for run in runs for task in run.results["results"]})
    if any(task.startswith(PREFIX) for task in tasks):
        return f"the run of {few(tasks)} logged no samples: run it again with --log_samples"
    return f"no {PREFIX} task among {few(tasks)}: give a run of one, with --log_samples"


def _model(run: Run) -> str:
    given = run.results.get("config", {}).get("model_args")
    named = given.get("pretrained") or given.get("model") if isinstance(given, dict) else None
    if isinstance(given, str):
        pairs = dict(entry.split("=", 1) for entry in given.split(",") if "=" in entry)
        named = pairs.get("pretrained") or pairs.get("model")
    return f"{run.model} {named}" if named else run.model


def _answers(run: Run, task: str, notes: list[str]) -> Answers:
    rows: list[dict[str, Any]] = []
    path, variant, differ, filters = run.sample_files[task], "", 0, dict[str, None]()
    for sample in run.samples(task):
        filters.setdefault(sample["filter"])
        if sample["filter"] != next(iter(filters)):
            continue
        doc, where = sample.get("doc"), f"{path}, doc_id {sample['doc_id']}"
        if not isinstance(doc, dict):
            raise UserError(f"{where}: the sample has no document. Name a run of a {PREFIX} task")
        if variant not in ("", _variant(doc, where)):
            raise UserError(f"{where}: its questions are of another kind than those before: {_variant(doc, where)}")
        variant = _variant(doc, where)
        row = _read(doc, variant, _text(sample, where), where)
        logged = run.metrics_of(sample).get("accuracy")
        differ += isinstance(logged, int | float) and bool(logged) != row["right"]
        rows.append({"doc_id": sample["doc_id"], **row})
    if not rows:
        raise UserError(f"{path} holds no samples: run the task again with --log_samples")
    if len(filters) > 1:
        notes.append(f"{task}: its texts passed several filters ({', '.join(filters)}); read are those of the first")
    if differ:
        notes.append(f"{task}: {differ} of {len(rows)} answers are read differently now: score anew with lmx rescore")
    return Answers(task, variant, pd.DataFrame(rows))


def _variant(doc: dict[str, Any], where: str) -> str:
    variant = str(doc.get("variant") or COUNT)
    needed = ("category", "word", "member") if variant == "membership" else ("category", "count", "length")
    missing = [name for name in needed if name not in doc]
    if variant not in VARIANTS or missing:
        raise UserError(f"{where}: not a counting question ({', '.join(needed)}). Name a run of a {PREFIX} task")
    return variant


def _text(sample: dict[str, Any], where: str) -> str:
    """Return the first text of a document; several samples of one are judged by their first, as the task does."""
    found = sample.get("filtered_resps")
    if not isinstance(found, list) or not found:
        found = sample.get("resps")
    if not isinstance(found, list) or not found:
        raise UserError(f"{where}: the sample holds no answer (resps). Restore the file that the run wrote")
    text = texts_of_document(found)[0]
    while isinstance(text, list):
        text = text[0] if text else ""
    return "" if text is None else str(text)  # None: a server gave no text


def _read(doc: dict[str, Any], variant: str, text: str, where: str) -> dict[str, Any]:
    category = str(doc["category"])
    row: dict[str, Any] = {
        "id": str(doc.get("id") or ""), "category": category, "source": str(doc.get("source") or "systematic"),
        "lists": str(doc.get("lists") or ""), "prompt": str(doc.get("prompt", "")), "text": text,
    }  # fmt: skip
    try:
        if variant == "membership":
            return row | _membership(doc, text)
        return row | _number(doc, variant, text)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{where}: not a counting question ({error}). Name a run of a {PREFIX} task") from error


def _membership(doc: dict[str, Any], text: str) -> dict[str, Any]:
    word, member = str(doc["word"]), bool(doc["member"])
    said = parse_yes_no(text, word, str(doc["category"]), str(doc.get("plural", "")))
    yes = float("nan") if said is None else float(said)
    return {"word": word, "member": member, "yes": yes, "right": said is not None and said == member}


def _number(doc: dict[str, Any], variant: str, text: str) -> dict[str, Any]:
    gold, length, category = _whole(doc, "count"), _whole(doc, "length"), str(doc["category"])
    more: dict[str, Any] = {}
    if variant == "all":
        answer = parse_length(text)
    elif variant == "partitioned":
        parts = [int(part) for part in doc["parts"]]
        found = parse_parts(text, len(parts), category, length)
        answer = found.total
        right = [a == b for a, b in zip(found.counts or (), parts, strict=False)]
        both = found.counts is not None and answer is not None
        more = {
            "parts": len(parts),
            "parts_right": sum(right) / len(parts),
            "parts_parsed": found.counts is not None,
            "sum_agrees": float(sum(found.counts or ()) == answer) if both else float("nan"),
        }
    else:
        answer = parse_count(text, category, length)
    return {
        "length": length, "gold": gold, "answer": float("nan") if answer is None else float(answer),
        "right": answer == gold, "position": str(doc.get("position") or "before"),
        "format": str(doc.get("format") or "comma"), "words": _words(doc), **more,
    }  # fmt: skip


def _whole(doc: dict[str, Any], field: str) -> int:
    value = doc[field]
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise ValueError(f"{field} {value!r} is no whole number")
    return int(value)


def _words(doc: dict[str, Any]) -> list[str]:
    words = doc.get("words")
    return [str(word) for word in words] if isinstance(words, Iterable) and not isinstance(words, str) else []
