"""Losses of one data set or table are merged into another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from lmx_analysis.performance_prediction import data
from lmx_analysis.performance_prediction.data import Row, Score
from lmx_files import jsonl
from lmx_files.errors import UserError, few

TARGET = "loss"


def combine(rows: Sequence[Row], path: Path, replace: bool = False) -> list[Row]:
    """Return the rows with the losses that `path` holds: a data set, a table of task, model and predict_loss,
    or a JSON object of tasks and losses, where the rows are of one model.

    Args:
        replace: losses that are there already give way.

    Raises:
        UserError: a task has no loss in `path` or has two, one is negative, the definitions differ, or a row has
            another loss already.
    """
    found = _losses(path, rows)
    lacking = [row.task for row in rows if (row.task, row.model) not in found and TARGET not in row.scores]
    if lacking:
        raise UserError(
            f"{path} has no loss for {len(lacking)} of {len(rows)} rows ({few(lacking, 3)}): task and model must be "
            "named as in the data set. Build it from runs of superni_loss with the same --model name"
        )
    merged = []
    for row in rows:
        loss, definition = found.get((row.task, row.model), (None, ""))
        if loss is None:
            merged.append(row)
            continue
        if definition and definition != row.definition:
            raise UserError(
                f"{path}: task {row.task!r} has another definition than in the data set: it is another task"
            )
        old = row.scores.get(TARGET)
        if old is not None and not replace and abs(old.mean - loss.mean) > 1e-9:
            raise UserError(
                f"task {row.task!r} of {row.model!r} has loss {old.mean:g} already, and {loss.mean:g} in {path}: say "
                "--replace to take the latter"
            )
        merged.append(row.with_score(TARGET, loss))
    return merged


def _losses(path: Path, rows: Sequence[Row]) -> dict[tuple[str, str], tuple[Score, str]]:
    """Return loss and definition (empty where a table has none) by task and model."""
    found: dict[tuple[str, str], tuple[Score, str]] = {}
    for (task, model), loss, definition, where in _entries(path, rows):
        if (task, model) in found:
            raise UserError(f"{where}: task {task!r} is there twice for model {model!r}: keep one of them")
        if loss.mean < 0:
            raise UserError(
                f"{where}: loss {loss.mean:g} of task {task!r} is below 0, which a negative log-likelihood never is: "
                "its sign is wrong. Turn the signs of that file around first"
            )
        found[task, model] = loss, definition
    if not found:
        raise UserError(f"{path} holds no losses: a column predict_loss with numbers is needed")
    return found


def _entries(path: Path, rows: Sequence[Row]) -> list[tuple[tuple[str, str], Score, str, str]]:
    if path.is_dir() or path.suffix == ".parquet":
        return [
            ((row.task, row.model), row.scores[TARGET], row.definition, f"{path}")
            for row in data.read(path)
            if TARGET in row.scores
        ]
    if path.suffix == ".json":
        return _of_json(path, rows)
    frame = data.read_frame(path)
    column = next((name for name in ("predict_loss", "loss") if name in frame.columns), None)
    for name in ("task", "model"):
        if name not in frame.columns or column is None:
            raise UserError(f"{path} needs the columns task, model and predict_loss; it has {few(frame.columns)}")
    entries = []
    for place, line in enumerate(frame.to_dict("records"), 2):
        where = f"{path}, line {place}"
        mean = data.number(line[column], f"{where}, {column}")
        if not math.isnan(mean):
            definition = data.text_of(line.get("definition"))
            entries.append(((data.text_of(line["task"]), data.text_of(line["model"])), Score(mean), definition, where))
    return entries


def _of_json(path: Path, rows: Sequence[Row]) -> list[tuple[tuple[str, str], Score, str, str]]:
    models = {row.model for row in rows}
    if len(models) > 1:
        raise UserError(f"{path} does not say of which model its losses are, and the data set has {few(models)}")
    model = next(iter(models))
    entries = []
    for task, value in jsonl.read_object(path).items():
        loss = data.number(value, f"{path}, {task}")
        entries.append(((task, model), Score(loss), "", f"{path}"))
    return entries
