"""Data and scoring of the category-counting tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmx_files.errors import UserError
from lmx_files.jsonl import rows
from lmx_metrics import counting
from lmx_metrics.aggregation import by_domain, texts_of_document
from lmx_metrics.counting import by_count, mean_parsed
from lmx_tasks.common import data_file

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["by_count", "by_domain", "load_items", "load_tiny", "mean_parsed", "process_results"]

HERE = Path(__file__).resolve().parent
FIELDS: dict[str, type] = {"prompt": str, "category": str, "position": str, "count": int, "length": int}


def load_tiny(**metadata: Any) -> dict[str, Dataset]:
    """Return the items as lm_eval's `custom_dataset` wants them; `data_dir` in the metadata moves them."""
    from datasets import Dataset

    shipped = HERE / "data" / "tiny.jsonl"
    path = data_file("category_counting_tiny", "tiny.jsonl", shipped, metadata.get("data_dir"))
    return {"test": Dataset.from_list(load_items(path))}


def load_items(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line with the `FIELDS`; raise `UserError` naming file, line and field."""
    return [_checked(row, where) for where, row in rows(path, (*FIELDS,))]


def _checked(row: dict[str, Any], where: str) -> dict[str, Any]:
    for field, kind in FIELDS.items():
        if field not in row:
            raise UserError(f"{where}: field {field!r} is missing. Found: {', '.join(row) or 'nothing'}")
        value = row[field]
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            want = "text that is not empty" if kind is str else "a whole number"
            raise UserError(f"{where}: field {field!r} must be {want}, not {value!r}")
    if not 0 <= row["count"] <= row["length"]:
        raise UserError(f"{where}: field 'count' must be 0 to {row['length']} (length), not {row['count']}")
    return {field: row[field] for field in FIELDS}


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return the metric values of one question."""
    text = texts_of_document(results)[0]
    values: dict[str, Any] = dict(counting.score(text, doc["count"], doc["length"], doc["category"]))
    values["by_count"] = {"gold": doc["count"], "accuracy": values["accuracy"], "bias": values["bias"]}
    values["by_category"] = {"domain": doc["category"], "accuracy": values["accuracy"]}
    return values
