"""Data and scoring of constraint50. Tasks of the same shape reuse `load_jsonl` and `_metrics.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmx_metrics import format_score, structure, termination
from lmx_metrics.aggregation import average, by_domain, texts_of_document
from lmx_tasks.common import data_file, load_jsonl

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "by_domain",
    "data_file",
    "doc_to_target",
    "doc_to_target_seed",
    "doc_to_text",
    "doc_to_text_seed",
    "doc_to_text_z0",
    "load_jsonl",
    "load_prompts",
    "process_results",
    "process_results_z0",
]

HERE = Path(__file__).resolve().parent
FIELDS = ("id", "domain", "prompt")
DOMAIN_METRICS = ("all_loose", "all_strict", "layout_score_0_5", "format_score_0_5", "marker_emitted")
# What constraint50_z0 asks for, and so all that it judges.
Z0 = ("length", "end_marker")
Z0_DOMAIN_METRICS = ("all_loose", "all_strict", "marker_emitted")
SEGMENT, SEED_SEGMENT, Z0_SEGMENT = (
    (HERE / name).read_text(encoding="utf-8").strip() for name in ("segment.txt", "segment_seed.txt", "segment_z0.txt")
)


def load_prompts(**metadata: Any) -> dict[str, Dataset]:
    """The prompts as lm_eval's `custom_dataset` wants them; `metadata` is the task's and `--metadata`."""
    from datasets import Dataset

    path = data_file("constraint50", "prompts.jsonl", HERE / "prompts.jsonl", metadata.get("data_dir"))
    return {
        "test": Dataset.from_list(load_jsonl(path, FIELDS)),
        "examples": Dataset.from_list(load_jsonl(HERE / "examples.jsonl", (*FIELDS, "answer"))),
    }


def doc_to_text(doc: dict[str, Any]) -> str:
    """The request, a blank line, and the segment with the constraints that all prompts share."""
    return f"{doc['prompt']}\n\n{SEGMENT}"


def doc_to_text_seed(doc: dict[str, Any]) -> str:
    """As `doc_to_text`, with the study's layout: a colon behind each heading."""
    return f"{doc['prompt']}\n\n{SEED_SEGMENT}"


def doc_to_text_z0(doc: dict[str, Any]) -> str:
    """As `doc_to_text`, with a limit and an end marker only."""
    return f"{doc['prompt']}\n\n{Z0_SEGMENT}"


def doc_to_target(doc: dict[str, Any]) -> str:
    """The worked answer of an example (for `--num_fewshot`); the prompts themselves have none."""
    return str(doc.get("answer", ""))


def doc_to_target_seed(doc: dict[str, Any]) -> str:
    """The worked answer with a colon behind each heading."""
    lines = doc_to_target(doc).split("\n")
    return "\n".join(f"{line}:" if line in structure.DEFAULT_SPEC.headings else line for line in lines)


def process_results(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Metric values of one prompt. `results` holds the completion or, with `repeats`, all of them.

    Over several samples each value is their mean, and three more tell how reliable the model is:
    `reliable_strict` and `reliable_loose` (all samples pass), `any_loose` (at least one does).
    """
    texts = texts_of_document(results)
    samples = [{**structure.score(text), **format_score.score(text), **termination.score(text)} for text in texts]
    return _values(doc, samples, DOMAIN_METRICS)


def process_results_z0(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """As `process_results`, of length and end marker alone: the prompt asks for nothing else."""
    texts = texts_of_document(results)
    return _values(doc, [_score_z0(text) for text in texts], Z0_DOMAIN_METRICS)


def _score_z0(text: str) -> dict[str, float]:
    whole = structure.score(text)
    values = {f"{name}_{kind}": whole[f"{name}_{kind}"] for kind in ("strict", "loose") for name in Z0}
    for kind in ("strict", "loose"):
        values[f"all_{kind}"] = min(values[f"{name}_{kind}"] for name in Z0)
    return {**values, "has_reasoning": whole["has_reasoning"], **termination.score(text)}


def _values(doc: dict[str, Any], samples: list[dict[str, float]], names: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = dict(average(samples))
    values["by_domain"] = {"domain": doc["domain"], **{name: values[name] for name in names}}
    if len(samples) > 1:
        values["reliable_strict"] = min(sample["all_strict"] for sample in samples)
        values["reliable_loose"] = min(sample["all_loose"] for sample in samples)
        values["any_loose"] = max(sample["all_loose"] for sample in samples)
    return values
