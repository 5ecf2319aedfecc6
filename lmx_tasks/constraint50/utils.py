"""Data and scoring of constraint50. Tasks of the same shape reuse `load_jsonl` and `_metrics.yaml`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmx_metrics import format_score, structure, termination
from lmx_metrics.aggregation import average, by_domain, texts_of_document
from lmx_plugins.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "by_domain",
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


def data_file(task: str, name: str, shipped: Path, data_dir: Any = None) -> Path:
    """Where a task's data lie: `<data_dir>/<task>/<name>` when a folder is given, else the shipped file.

    The folder comes from `--metadata '{"data_dir": "..."}'`, else from `LMX_DATA_DIR`. The first is a
    request, so the file must be there. The second may hold other tasks' data only: without a `<task>` folder
    in it, the shipped file is used.
    """
    asked, source = data_dir, "--metadata data_dir"
    if asked is None and os.environ.get("LMX_DATA_DIR"):
        asked, source = os.environ["LMX_DATA_DIR"], "LMX_DATA_DIR"
    if asked is None:
        return shipped
    if not isinstance(asked, str) or not asked:
        raise UserError(f"{source} must be the path of a folder, not {asked!r}")
    folder = Path(asked).expanduser()
    if not folder.is_dir():
        raise UserError(f"{source}: there is no folder {folder}. Give a folder that holds {task}/{name}")
    if source == "LMX_DATA_DIR" and not (folder / task).is_dir():
        return shipped
    return folder / task / name


def load_jsonl(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Read one JSON object a line with the text `fields`, the first of them unique; blank lines are skipped.

    Raises `UserError` that names the file, the line and the field.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    rows: list[dict[str, str]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        row = _parse(line, f"{path}, line {number}", fields)
        key = row[fields[0]]
        if key in seen:
            raise UserError(f"{path}, line {number}: {fields[0]} {key!r} was used on line {seen[key]}")
        seen[key] = number
        rows.append(row)
    if not rows:
        raise UserError(f"{path} is empty. It should hold one JSON object a line with {', '.join(fields)}")
    return rows


def _parse(line: bytes, where: str, fields: Sequence[str]) -> dict[str, str]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start + 1}. Save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        place = f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{where}: not valid JSON{place}. Is the line truncated?") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a JSON object with {', '.join(fields)}, got {type(row).__name__}")
    for field in fields:
        if field not in row:
            found = ", ".join(row) or "nothing"
            raise UserError(f"{where}: field {field!r} is missing. Found: {found}")
        if not isinstance(row[field], str) or not row[field].strip():
            raise UserError(f"{where}: field {field!r} must be text that is not empty, not {row[field]!r}")
    return {field: row[field] for field in fields}


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
