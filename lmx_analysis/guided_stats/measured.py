"""What was measured, kept as Parquet, so that every table and picture can be made again without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lmx_analysis.guided_stats.statistics import Options, Statistics
from lmx_files import jsonl, parquet
from lmx_files.errors import UserError
from lmx_files.reading import is_regular

ROWS, TEXTS, ANSWERS, MANIFEST = (
    "consultations.parquet",
    "texts.parquet",
    "guided_stats.jsonl",
    "guided_stats_manifest.json",
)
_OF_ROWS = ("task", "doc_id", "repeat", "run", "consultation", "acc")
_OF_TEXTS = ("task", "doc_id", "repeat", "run", "acc")


def measured_files(found: Statistics) -> dict[str, bytes]:
    """Return the measurements by file: a row a consultation, and a row a text (those without a consultation too)."""
    keys: list[Any] = list(found.correct)
    texts = [
        {
            "task": task,
            "doc_id": doc_id,
            "run": run,
            "repeat": repeat,
            "acc": found.correct[(task, doc_id), (run, repeat)],
        }
        for (task, doc_id), (run, repeat) in keys
    ]
    return {ROWS: parquet.encoded(pd.DataFrame(found.rows)), TEXTS: parquet.encoded(pd.DataFrame(texts))}


def is_measured(folder: Path) -> bool:
    """Whether a folder holds measurements of an earlier `lmx guided-stats`."""
    return is_regular(folder / MANIFEST) and is_regular(folder / ROWS)


def read_measured(folder: Path) -> Statistics:
    """Return what an earlier `lmx guided-stats` measured.

    Raises:
        UserError: the files are not what it wrote, or are of a version that kept no texts.
    """
    try:
        manifest = jsonl.read_object(folder / MANIFEST)
        rows, texts = (_table(folder / name, columns) for name, columns in ((ROWS, _OF_ROWS), (TEXTS, _OF_TEXTS)))
        answers = list(jsonl.read(folder / ANSWERS, "what lmx guided-stats wrote"))
        settings = {name: manifest["settings"].get(name) for name in Options.__dataclass_fields__}
        found = Statistics(
            Options(**settings), [], list(manifest["tasks"]), str(manifest["metric"]), dict(manifest["base"]),
            answers=answers, notes=list(manifest["notes"]), inputs=_hashes(manifest["inputs"]),
            measured_with=dict(manifest.get("measured_with") or manifest["versions"]),
        )  # fmt: skip
    except (UserError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, UserError) else f"{error!r:.200}"
        raise UserError(
            f"{folder} does not hold what lmx guided-stats measured ({why}): measure the runs again"
        ) from error
    found.rows = rows
    found.row_texts = [(row["run"], row["repeat"]) for row in rows]
    found.correct = {((one["task"], one["doc_id"]), (one["run"], one["repeat"])): one["acc"] for one in texts}
    return found


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    frame = parquet.frame(path)
    if missing := [name for name in columns if name not in frame]:
        raise ValueError(f"{path.name} lacks {missing[0]}")
    rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return rows


def _hashes(inputs: Any) -> dict[str, str]:
    """Return the hashes of the files that were read, by path; earlier releases had them by run and name."""
    if isinstance(inputs, dict):
        return {str(path): str(digest) for path, digest in inputs.items()}
    return {
        str(Path(run["results"]).with_name(name)): str(digest)
        for run in inputs
        for name, digest in run["sha256"].items()
    }
