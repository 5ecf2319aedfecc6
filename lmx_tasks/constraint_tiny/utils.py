"""Data and scoring of constraint_tiny: the verifiers of constraint50, and whether an answer is on topic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmx_metrics import structure
from lmx_metrics.aggregation import texts_of_document
from lmx_tasks.constraint50 import utils as constraint50

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["by_domain", "load_prompts", "process_results"]

HERE = Path(__file__).resolve().parent
TOPIC = ("factor", "subject", "measure")
FIELDS = ("id", "domain", "prompt", *TOPIC)

by_domain = constraint50.by_domain


def load_prompts(**metadata: Any) -> dict[str, Dataset]:
    """Return the prompts as lm_eval's `custom_dataset` wants them; `data_dir` in the metadata moves them."""
    from datasets import Dataset

    shipped = HERE / "data" / "tiny.jsonl"
    path = constraint50.data_file("constraint_tiny", "tiny.jsonl", shipped, metadata.get("data_dir"))
    return {"test": Dataset.from_list(constraint50.load_jsonl(path, FIELDS))}


def on_topic(doc: dict[str, Any], text: str) -> float:
    """Return the share, 0 to 1, of the words for factor, subject and measure that stand in the text."""
    words = set(re.findall(r"\w+", str(text).casefold()))
    return sum(doc[name].casefold() in words for name in TOPIC) / len(TOPIC)


def process_results(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Return constraint50's metric values, `on_topic`, and `solved`: `all_strict` with the whole topic.

    `results` holds the completion, or several (then values are their means).
    """
    values = constraint50.process_results(doc, results)
    texts = texts_of_document(results)
    marks = [on_topic(doc, text) for text in texts]
    passes = [structure.score(text)["all_strict"] for text in texts]
    values["on_topic"] = sum(marks) / len(texts)
    values["solved"] = sum(ok * (mark == 1.0) for mark, ok in zip(marks, passes, strict=True)) / len(texts)
    return values
