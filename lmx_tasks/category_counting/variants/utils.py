"""What the YAML files of the counting tasks name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmx_metrics import counting
from lmx_metrics.aggregation import by_domain, texts_of_document
from lmx_metrics.count_parts import parse_length, parse_parts
from lmx_metrics.counting import by_count, by_length, mean_parsed
from lmx_metrics.yes_no import parse_yes_no
from lmx_tasks.category_counting.variants import items, questions, settings

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "by_count", "by_domain", "by_length", "load", "load_all", "load_membership", "load_nonce", "load_partitioned",
    "mean_parsed", "process_all", "process_membership", "process_partitioned", "process_results",
]  # fmt: skip

Doc = dict[str, Any]


def load(**metadata: Any) -> dict[str, Dataset]:
    """Return the items as lm_eval's `custom_dataset` wants them; see `settings.read` for the metadata."""
    return _splits(*items.load(settings.read(metadata)))


def load_all(**metadata: Any) -> dict[str, Dataset]:
    """Ask how long the lists are."""
    return _splits(*map(questions.all_words, items.load(settings.read(metadata))))


def load_membership(**metadata: Any) -> dict[str, Dataset]:
    """Ask of each word whether it is of the category."""
    return _splits(*map(questions.membership, items.load(settings.read(metadata))))


def load_nonce(**metadata: Any) -> dict[str, Dataset]:
    """Ask about invented words."""
    asked = settings.read(metadata)
    tested, examples = items.load(asked)
    return _splits(questions.invented(tested, asked.seed), questions.invented(examples, asked.seed + 1))


def load_partitioned(**metadata: Any) -> dict[str, Dataset]:
    """Ask for the counts of the parts of the lists."""
    return _splits(*map(questions.partitioned, items.load(settings.read(metadata))))


def _splits(tested: list[Doc], examples: list[Doc]) -> dict[str, Dataset]:
    """Return both splits; an example that asks just what a test question asks is left out."""
    from datasets import Dataset

    asked = {doc["prompt"] for doc in tested}
    kept = [doc for doc in examples if doc["prompt"] not in asked]
    return {"test": Dataset.from_list(tested), "examples": Dataset.from_list(kept)}


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Return the metric values of one counting question, also of invented words."""
    text = texts_of_document(results)[0]
    return _with_groups(doc, counting.score(text, doc["count"], doc["length"], doc["category"]))


def process_all(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Return the metric values of one question for the length of a list."""
    answer = parse_length(texts_of_document(results)[0])
    return _with_groups(doc, counting.score_answer(answer, doc["length"], doc["length"]))


def process_partitioned(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Return the metric values of one question for parts; the total is what the count is elsewhere."""
    parts = doc["parts"]
    found = parse_parts(texts_of_document(results)[0], len(parts), doc["category"], doc["length"])
    right = [float(a == b) for a, b in zip(found.counts or (), parts, strict=False)]
    both = found.counts is not None and found.total is not None
    return {
        **_with_groups(doc, counting.score_answer(found.total, doc["count"], doc["length"])),
        "parts_accuracy": sum(right) / len(parts),
        "parts_all_right": float(found.counts == tuple(parts)),
        "parts_parse_rate": float(found.counts is not None),
        "sum_agrees": float(sum(found.counts or ()) == found.total) if both else None,
    }


def _with_groups(doc: Doc, score: dict[str, float | None]) -> dict[str, Any]:
    values: dict[str, Any] = dict(score)
    values["by_count"] = {"gold": doc["count"], "accuracy": score["accuracy"], "bias": score["bias"]}
    values["by_length"] = values["by_count"] | {"length": doc["length"]}
    values["by_category"] = {"domain": doc["category"], "accuracy": score["accuracy"]}
    return values


def process_membership(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Return the metric values of one question about a word; an unparsed answer is wrong."""
    said = parse_yes_no(texts_of_document(results)[0], doc["word"], doc["category"], doc["plural"])
    right = float(said == bool(doc["member"])) if said is not None else 0.0
    yes = None if said is None else float(said)
    return {
        "accuracy": right,
        "parse_rate": float(said is not None),
        "says_yes": yes,
        "accuracy_members": right if doc["member"] else None,
        "accuracy_others": None if doc["member"] else right,
        "by_category": {
            "domain": doc["category"], "accuracy": right, "parse_rate": float(said is not None), "says_yes": yes,
        },
    }  # fmt: skip
