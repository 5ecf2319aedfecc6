"""What the YAML files of superni name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmx_metrics.overlap import breakdown, total
from lmx_tasks.instructions import (
    InstructionTask,
    as_test,
    doc_to_text,
    first_reference,
    process_loss,
    process_results,
    with_first_reference,
)
from lmx_tasks.superni import data

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "InstructionTask",
    "breakdown",
    "doc_to_text",
    "first_reference",
    "load",
    "load_loss",
    "load_mini",
    "process_loss",
    "process_results",
    "total",
]


def load(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return the test documents for lm_eval's `custom_dataset`; the arguments come from `--metadata`."""
    return as_test(data.documents(data.tasks(data_dir), tasks, instances))


def load_loss(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return those whose first reference is not blank."""
    return as_test(with_first_reference(data.documents(data.tasks(data_dir), tasks, instances)))


def load_mini(data_dir: Any = None, tasks: Any = None, instances: Any = None, **_metadata: Any) -> dict[str, Dataset]:
    """Return the documents of the shipped tasks of our own."""
    return as_test(data.documents(data.mini(data_dir), tasks, instances))
