"""Data and scoring of my_task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmx_tasks.common import data_file, load_jsonl

HERE = Path(__file__).resolve().parent


def load(**metadata: Any) -> dict[str, Any]:
    """Return the rows as lm_eval's `custom_dataset` wants them; `data_dir` in `--metadata` names other rows."""
    from datasets import Dataset

    shipped = HERE / "data.jsonl"
    path = data_file("my_task", "data.jsonl", shipped, metadata.get("data_dir"))
    return {"test": Dataset.from_list(load_jsonl(path, ("id", "question", "answer")))}


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Return the metric values of one row. A completion may carry a decoder's trace; take it before any `strip`."""
    completion = results[0]
    finish = getattr(getattr(completion, "trace", None), "finish", None)
    return {
        "exact_match": float(completion.strip().casefold() == doc["answer"].strip().casefold()),
        "truncated": float(finish in ("length", "context")),
    }
