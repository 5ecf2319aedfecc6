"""Data and scoring of the MATH tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmx_metrics.aggregation import average, texts_of_document
from lmx_metrics.math.process import worker
from lmx_metrics.math.scoring import breakdown, score
from lmx_tasks.common import data_file
from lmx_tasks.math import data

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["breakdown", "doc_to_text", "doc_to_text_4shot", "load_500", "load_math", "load_mini", "process_results"]


def load_math(
    subject: str | None = None, level: int | None = None, data_dir: Any = None, revision: Any = None, **_metadata: Any
) -> dict[str, Dataset]:
    """Return the test problems, of one subject or level, and four worked examples, for lm_eval's `custom_dataset`.

    `subject` and `level` come from the task's `dataset_kwargs`, the others from `--metadata`.
    """
    return _splits(data.chosen(data.problems("lmx_math", data_dir, revision, subject), subject, level))


def load_500(data_dir: Any = None, revision: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return the 500 problems of MATH-500."""
    return _splits(data.problems("lmx_math500", data_dir, revision))


def load_mini(data_dir: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return the shipped problems of our own."""
    return _splits(
        data.from_file(data_file("lmx_math_mini", "mini.jsonl", data.HERE / "data" / "mini.jsonl", data_dir))
    )


def _splits(rows: list[dict[str, str]]) -> dict[str, Dataset]:
    from datasets import Dataset

    worker.own().start()
    examples = data.from_file(data.HERE / "data" / "examples.jsonl")
    return {"test": Dataset.from_list(rows), "examples": Dataset.from_list(examples)}


def doc_to_text(doc: dict[str, Any]) -> str:
    r"""The problem, and a request for a `\boxed{}` answer."""
    return f"{doc['problem']}\n\nReason step by step, and put your final answer within \\boxed{{}}."


def doc_to_text_4shot(doc: dict[str, Any]) -> str:
    """The problem between the labels of the few-shot prompt."""
    return f"Problem:\n{doc['problem']}\n\nSolution:"


def process_results(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Metric values of one problem. `results` holds the completion or, with `repeats`, all of them (then means)."""
    texts = texts_of_document(results)
    values: dict[str, Any] = dict(average(score(text, doc["answer"]) for text in texts))
    return {
        **values,
        "by_subject": {"domain": doc["type"], **values},
        "by_level": {"domain": doc["level"], **values},
    }
