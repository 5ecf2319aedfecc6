"""The data set: one row for each task and model, in the study's columns as CSV, with everything else as Parquet."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lmx_files import csv, parquet
from lmx_files.errors import UserError, few, unknown
from lmx_files.hashing import sha256
from lmx_files.reading import open_following_links, reason

TARGETS = ("rougeL", "exact_match", "loss")
COLUMNS = ("index", "task", "definition", "category", "predict_rougeL", "predict_exact_match", "predict_loss", "model")
"""The study's columns, in its order."""
FILE = "dataset"
_NEEDED = ("task", "definition", "category", "model")


@dataclass(frozen=True)
class Score:
    """A model's scores of one target on one task.

    Attributes:
        mean: over the instances; 0 to 100 for rougeL and exact_match, nats per token for loss.
        n: instances. variance: of one instance's score, unbiased; NaN for one instance, or where it is not known.
        values: each instance's score; empty where only the mean is known (the study's CSV).
    """

    mean: float
    n: int = 0
    variance: float = math.nan
    values: tuple[float, ...] = ()

    @property
    def noise(self) -> float:
        """The variance of the mean, as far as it comes from the choice of instances; NaN if it is not known."""
        return self.variance / self.n if self.n else math.nan

    @classmethod
    def of(cls, values: Sequence[float]) -> Score:
        """Return the score of instances."""
        n = len(values)
        mean = math.fsum(values) / n
        variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else math.nan
        return cls(mean, n, variance, tuple(values))


@dataclass(frozen=True)
class Row:
    """One task under one model; `sources`: the data sets it was made of, empty if unknown; `scores` by target."""

    task: str
    definition: str
    category: str
    model: str
    sources: tuple[str, ...]
    scores: dict[str, Score]

    def with_score(self, target: str, score: Score) -> Row:
        """Return the row with one more score."""
        return replace(self, scores=self.scores | {target: score})


def check(rows: Sequence[Row], where: str) -> None:
    """Raise a `UserError` for a task without definition, one that is there twice for a model, or two definitions."""
    seen: set[tuple[str, str]] = set()
    definitions: dict[str, str] = {}
    for row in rows:
        if not row.definition.strip():
            raise UserError(
                f"{where}: task {row.task!r} has no definition, and nothing can be predicted from it: give one with "
                "--tasks FILE, or leave the task out"
            )
        if (row.task, row.model) in seen:
            raise UserError(f"{where}: task {row.task!r} is there twice for model {row.model!r}: keep one of them")
        seen.add((row.task, row.model))
        if definitions.setdefault(row.task, row.definition) != row.definition:
            raise UserError(f"{where}: task {row.task!r} has two definitions: it must be one task with one name")


def files(rows: Sequence[Row]) -> dict[str, bytes]:
    """Return the data set as ``dataset.csv`` (the study's columns) and ``dataset.parquet`` (all that is known)."""
    published = [
        dict(zip(COLUMNS, (number, row.task, row.definition, row.category, *_means(row), row.model), strict=True))
        for number, row in enumerate(rows)
    ]
    whole = []
    for line, row in zip(published, rows, strict=True):
        more: dict[str, Any] = {"source": list(row.sources)}
        for target in TARGETS:
            score = row.scores.get(target, Score(math.nan))
            more |= {
                f"n_{target}": score.n,
                f"variance_{target}": score.variance,
                f"scores_{target}": list(score.values),
            }
        whole.append(line | more)
    frame = pd.DataFrame(whole)
    for target in TARGETS:
        frame[f"predict_{target}"] = frame[f"predict_{target}"].astype("float64")
    return {f"{FILE}.csv": csv.text(published).encode(), f"{FILE}.parquet": parquet.encoded(frame)}


def _means(row: Row) -> list[float | None]:
    return [row.scores[target].mean if target in row.scores else None for target in TARGETS]


def read(path: Path) -> list[Row]:
    """Read a data set: a folder that `build` wrote, its Parquet file, or a CSV file with the study's columns.

    Raises:
        UserError: it is none, a column is missing, a score is no number, or `check` refuses it.
    """
    file = _file(path)
    frame = read_frame(file)
    for name in _NEEDED:
        if name not in frame.columns:
            raise UserError(f"{file} has no column {name!r}: a data set has {', '.join(COLUMNS)}")
    if not any(f"predict_{target}" in frame.columns for target in TARGETS):
        raise UserError(f"{file} has none of the columns predict_rougeL, predict_exact_match, predict_loss")
    rows = [_row(values, f"{file}, row {number}") for number, values in enumerate(frame.to_dict("records"))]
    if not rows:
        raise UserError(f"{file} has no rows")
    check(rows, str(file))
    return rows


def hash_of(path: Path) -> str:
    """Return the SHA-256 of the file that `read` reads."""
    return sha256(_file(path))


def read_frame(file: Path) -> pd.DataFrame:
    """Return a CSV or Parquet file as a frame; a `UserError` if it is neither."""
    if file.suffix == ".parquet":
        return parquet.frame(file)
    with open_following_links(file) as stream:
        try:
            return pd.read_csv(io.BytesIO(stream.read()), encoding="utf-8")
        except (ValueError, OSError, pd.errors.ParserError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]
            raise UserError(f"cannot read {file} as CSV: {why}") from error


def number(value: Any, where: str) -> float:
    """Return a cell as a finite number, NaN where it is empty; a `UserError` if it is neither."""
    try:
        found = math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {str(value)[:40]!r} is not a number") from None
    if math.isinf(found):
        raise UserError(f"{where}: infinite. Leave the task out, or mend its score")
    return found


def choose_model(rows: Sequence[Row], model: str | None) -> list[str]:
    """Return the models to predict: the one that was asked for, or all; a `UserError` if it is not there."""
    there = list(dict.fromkeys(row.model for row in rows))
    if model is None:
        return there
    if model not in there:
        raise unknown("model", model, there)
    return [model]


def choose_target(rows: Sequence[Row], target: str) -> None:
    """Raise a `UserError` unless `target` is one and every row has it."""
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    lacking = [row.task for row in rows if target not in row.scores]
    if lacking:
        hint = "merge losses with lmx perfpred combine" if target == "loss" else "choose another --target"
        raise UserError(f"no predict_{target} for {len(lacking)} of {len(rows)} tasks ({few(lacking, 3)}): {hint}")


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in (f"{FILE}.parquet", f"{FILE}.csv"):
            if (path / name).is_file():
                return path / name
        raise UserError(f"{path} holds no {FILE}.parquet or {FILE}.csv: name what lmx perfpred build wrote, or a file")
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"{path} is no data set: name a .csv or .parquet file, or the folder of lmx perfpred build")
    return path


def _row(values: dict[str, Any], where: str) -> Row:
    scores = {}
    for target in TARGETS:
        mean = number(values.get(f"predict_{target}"), f"{where}, predict_{target}")
        if math.isnan(mean):
            continue
        n = number(values.get(f"n_{target}"), f"{where}, n_{target}")
        variance = number(values.get(f"variance_{target}"), f"{where}, variance_{target}")
        each = values.get(f"scores_{target}")
        known = () if each is None or isinstance(each, (float, str)) else tuple(map(float, each))
        scores[target] = Score(mean, 0 if math.isnan(n) else int(n), variance, known)
    texts = [text_of(values.get(name)) for name in _NEEDED]
    source = values.get("source")
    listed = [] if source is None or isinstance(source, float) else [source] if isinstance(source, str) else source
    return Row(texts[0], texts[1], texts[2], texts[3], tuple(map(str, listed)), scores)


def text_of(value: Any) -> str:
    """Return a cell as text; an apostrophe that keeps a spreadsheet from computing it is taken off again."""
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    return text[1:] if text.startswith("'") and csv.cell(text[1:]) != text[1:] else text
