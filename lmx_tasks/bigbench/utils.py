"""What the YAML files of bigbench name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmx_metrics.overlap import breakdown, total
from lmx_tasks.bigbench import data
from lmx_tasks.instructions import (
    InstructionTask,
    as_test,
    doc_to_text,
    first_reference,
    grouped,
    process_loss,
    process_results,
    with_first_reference,
)

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "InstructionTask",
    "best_choice",
    "breakdown",
    "doc_to_text",
    "first_reference",
    "load",
    "load_choice",
    "load_loss",
    "load_mini",
    "load_mini_choice",
    "process_choice",
    "process_loss",
    "process_results",
    "total",
]


def load(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return the documents for lm_eval's `custom_dataset`; the arguments come from `--metadata`."""
    return as_test(data.documents(data.tasks(data_dir), tasks, instances))


def load_loss(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return those whose first reference is not blank."""
    return as_test(with_first_reference(data.documents(data.tasks(data_dir), tasks, instances)))


def load_choice(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return those that offer a choice."""
    return as_test(data.with_choices(data.documents(data.tasks(data_dir), tasks, instances)))


def load_mini(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return the documents of the shipped tasks of our own."""
    return as_test(data.documents(data.mini(data_dir), tasks, instances))


def load_mini_choice(
    data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any
) -> dict[str, Dataset]:
    """Return those of the shipped documents that offer a choice."""
    return as_test(data.with_choices(data.documents(data.mini(data_dir), tasks, instances)))


def best_choice(doc: Mapping[str, Any]) -> int:
    """The index of the first choice with the highest score."""
    return doc["scores"].index(max(doc["scores"]))


def process_choice(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Values of the most likely choice, from 0 to 100: is it a best one, and the score that BIG-bench gives it.

    `acc` takes the choice with the highest log-likelihood, `acc_norm` that with the highest one a byte;
    `multiple_choice_grade` is 100 times the score of the first. Results: a log-likelihood and a flag for each choice.
    """
    likelihoods = [float(value) for value, _ in results]
    by_byte = [value / max(1, len(choice.encode())) for value, choice in zip(likelihoods, doc["choices"], strict=True)]
    taken, taken_by_byte = likelihoods.index(max(likelihoods)), by_byte.index(max(by_byte))
    best = max(doc["scores"])
    values = {
        "acc": 100.0 * (doc["scores"][taken] == best),
        "acc_norm": 100.0 * (doc["scores"][taken_by_byte] == best),
        "multiple_choice_grade": 100.0 * doc["scores"][taken],
    }
    return grouped(doc, values)
