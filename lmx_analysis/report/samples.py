"""Joins the logged samples of several runs: one row a ``(task, doc_id, prompt_hash)``, one cell a run.

Rows are kept compressed, so that 50,000 samples take tens of megabytes of memory and not gigabytes.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lmx_analysis.compare.pairing import number_or_none
from lmx_analysis.report.pack import to_json
from lmx_analysis.report.traces import Marks, read_marks
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_files.runs.folders import Run
from lmx_files.runs.join import texts_of
from lmx_files.runs.tally import Tally

# A field of the documents is a category if it has at most this many values, each met twice on average.
MOST_VALUES = 24
_QUESTIONS = ("question", "query", "prompt", "instruction", "problem", "input", "text", "ctx", "goal", "sentence")
_NAN = float("nan")


@dataclass
class TaskTable:
    """The samples of one task over all runs.

    Attributes:
        metrics: names as in lm_eval's results, ``name`` or ``name,filter`` for filters other than ``none``.
        rows: by ``(doc_id, prompt_hash)`` the row's number in order of arrival.
        shared: compressed prompt, document and target of each row. cells: by run, compressed texts of each row.
        columns: by metric number and run, the values by row.
        fields: by name of a document's field, its values in order of arrival and each row's value number;
            None once it has too many values.
    """

    name: str
    runs: int
    metrics: dict[str, int] = field(default_factory=dict)
    rows: dict[tuple[int, str], int] = field(default_factory=dict)
    shared: list[bytes] = field(default_factory=list)
    snippets: list[str] = field(default_factory=list)
    cells: list[dict[int, bytes]] = field(default_factory=list)
    columns: dict[tuple[int, int], array[float]] = field(default_factory=dict)
    fields: dict[str, tuple[dict[Any, int], array[int]] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells = [{} for _ in range(self.runs)]

    def order(self) -> list[int]:
        """Return the rows' numbers by document; prompts of one document stay in order of arrival."""
        numbers = {row: doc_id for (doc_id, _), row in self.rows.items()}
        return sorted(range(len(self.shared)), key=lambda row: (numbers[row], row))

    def doc_ids(self) -> list[int]:
        """Return each row's document number, in order of arrival."""
        return [doc_id for doc_id, _ in self.rows]

    def column(self, metric: int, run: int) -> npt.NDArray[np.float64]:
        """Return one metric's values of one run by row; NaN where there is none."""
        return _padded(self.columns.get((metric, run)), len(self.shared), _NAN)

    def categories(self) -> dict[str, tuple[list[Any], npt.NDArray[np.int64]]]:
        """Return the fields with few values: the values, and each row's value number, -1 where it has none."""
        found = {}
        for name, kept in self.fields.items():
            if kept is None or not 2 <= len(kept[0]) <= len(self.shared) / 2:
                continue
            found[name] = (list(kept[0]), _padded(kept[1], len(self.shared), -1).astype(np.int64))
        return found

    def row(self, number: int) -> dict[str, Any]:
        """Return a row as the page reads it: shared parts, and ``r``, a list with one cell or null a run."""
        shared: dict[str, Any] = json.loads(zlib.decompress(self.shared[number]))
        packed = [cells.get(number) for cells in self.cells]
        return shared | {"r": [None if cell is None else json.loads(zlib.decompress(cell)) for cell in packed]}

    def packed_size(self) -> int:
        """Return the bytes of all rows as they are kept in memory."""
        return sum(map(len, self.shared)) + sum(len(cell) for cells in self.cells for cell in cells.values())


def read_samples(runs: list[Run], tick: Callable[[], None]) -> tuple[list[TaskTable], list[Marks], list[str]]:
    """Read the samples of all runs; `tick` is called once a sample.

    Returns:
        The tasks in order of first appearance, the traces of each run, and notes for the reader.

    Raises:
        UserError: a file cannot be read or holds something else than samples.
    """
    tasks: dict[str, TaskTable] = {}
    traces: list[Marks] = []
    notes: list[str] = []
    for number, run in enumerate(runs):
        traces.append(found := read_marks(run))
        for task in run.sample_files:
            table = tasks.setdefault(task, TaskTable(task, len(runs)))
            tally = Tally(*run.evaluated(task))
            for sample in run.samples(task, tally):
                try:
                    _add(table, number, run, sample, found)
                except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
                    where = f"{run.sample_files[task]}, document {sample.get('doc_id')!r}"
                    raise UserError(f"{where}: not a sample as lm_eval logs it ({error!r})") from error
                tick()
            if problem := tally.problem():
                which = (
                    "What is shown of its samples is not the whole run, and of a document logged twice it is the first"
                )
                notes.append(f"{run.sample_files[task]}: {problem}. {which}")
        notes += [f"{run.file}: {note}" for note in found.notes()]
    return list(tasks.values()), traces, notes + _notes(list(tasks.values()))


def _add(table: TaskTable, run: int, source: Run, sample: dict[str, Any], traces: Marks) -> None:
    prompt, options = _prompt(sample["arguments"])
    digest = str(sample.get("prompt_hash") or sha256_of_text(prompt))
    doc_id = int(sample["doc_id"])
    row = table.rows.setdefault((doc_id, digest), len(table.shared))
    doc = sample.get("doc")
    if row == len(table.shared):
        table.shared.append(_pack({"p": prompt, "d": doc, "g": _text(sample.get("target", ""))}))
        table.snippets.append(_snippet(doc, prompt))
        _categorise(table, row, doc)

    label = str(sample.get("filter") or "none")
    answer = _filtered(sample)
    packed = table.cells[run].get(row)
    if packed is None:
        cell: dict[str, Any] = _answers(table.name, sample, options, source, traces)
    else:
        cell = json.loads(zlib.decompress(packed))
        if label in cell["f"]:
            return
    cell["f"][label] = None if answer == cell.get("x") else answer
    if not source.is_make_stage:
        _measure(table, run, row, cell, source.metrics_of(sample), label)
    table.cells[run][row] = _pack(cell)


def _answers(task: str, sample: dict[str, Any], options: list[str], source: Run, traces: Marks) -> dict[str, Any]:
    """Return a new cell: ``x`` texts and ``t`` traces, or ``o`` options and scores; ``f`` answers, ``m`` values."""
    texts = texts_of(sample, source.sample_files[task])
    if texts is not None:
        cell: dict[str, Any] = {"x": texts, "f": {}, "m": []}
        marks = traces.take(task, sample, texts)
        if any(marks):
            cell["t"] = marks
        return cell
    responses = sample["resps"]
    scores = [_text(response[0] if isinstance(response, list) and response else response) for response in responses]
    options = options or ["the page"]  # of loglikelihood_rolling
    return {"x": [], "o": [list(pair) for pair in zip(options, scores, strict=False)], "f": {}, "m": []}


def _measure(table: TaskTable, run: int, row: int, cell: dict[str, Any], values: dict[str, Any], label: str) -> None:
    for name, value in values.items():
        number = number_or_none(value)
        if number is None and not isinstance(value, float):
            continue
        metric = table.metrics.setdefault(name if label == "none" else f"{name},{label}", len(table.metrics))
        column = table.columns.setdefault((metric, run), array("d"))
        column.extend([_NAN] * (row + 1 - len(column)))
        column[row] = value
        cell["m"].extend([None] * (metric + 1 - len(cell["m"])))
        cell["m"][metric] = value


def _categorise(table: TaskTable, row: int, doc: Any) -> None:
    if not isinstance(doc, dict):
        return
    for name, value in doc.items():
        kept = table.fields.setdefault(name, ({}, array("q")))
        if kept is None:
            continue
        if not isinstance(value, (str, int)) or len(str(value)) > 60:
            table.fields[name] = None
            continue
        values, codes = kept
        code = values.setdefault(value, len(values))
        codes.extend([-1] * (row + 1 - len(codes)))
        codes[row] = code
        if len(values) > MOST_VALUES:
            table.fields[name] = None


def _prompt(arguments: Any) -> tuple[str, list[str]]:
    """Return the prompt, and the continuations that were scored, if the request was of likelihoods."""
    calls = list(arguments.values()) if isinstance(arguments, dict) else list(arguments)
    calls = [list(call.values()) if isinstance(call, dict) else list(call) for call in calls]
    return _text(calls[0][0]), [_text(call[1]) for call in calls if len(call) > 1 and isinstance(call[1], str)]


def _filtered(sample: dict[str, Any]) -> list[str]:
    answers = sample.get("filtered_resps") or []
    answers = answers[0] if answers and isinstance(answers[0], list) and len(answers) == 1 else answers
    return [_text(answer) for answer in answers]


def _snippet(doc: Any, prompt: str) -> str:
    fields = doc if isinstance(doc, dict) else {}
    asked = next((fields[name] for name in _QUESTIONS if isinstance(fields.get(name), str)), prompt)
    return " ".join(asked.split())[:90]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pack(value: Any) -> bytes:
    return zlib.compress(to_json(value).encode("ascii"), 1)


def _padded(values: Any, size: int, missing: float) -> npt.NDArray[Any]:
    padded = np.full(size, missing, dtype=np.float64)
    if values is not None:
        padded[: len(values)] = values
    return padded


def _notes(tasks: list[TaskTable]) -> list[str]:
    notes = []
    for table in tasks:
        twice = len(table.rows) - len(set(table.doc_ids()))
        if twice:
            notes.append(
                f"{table.name}: {twice} documents were asked with different prompts; these stand in rows of their own"
            )
    return notes
