"""Data and scoring of constraint50. Tasks of the same shape reuse `load_jsonl` and `_metrics.yaml`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmx_metrics import structure, termination
from lmx_metrics.aggregation import average, by_domain
from lmx_plugins.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["by_domain", "doc_to_target", "doc_to_text", "load_jsonl", "load_prompts", "process_results"]

HERE = Path(__file__).resolve().parent
FIELDS = ("id", "domain", "prompt")
DOMAIN_METRICS = ("all_loose", "all_strict", "seed_score", "marker_emitted")
SEGMENT = (HERE / "segment.txt").read_text(encoding="utf-8").strip()


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


def doc_to_target(doc: dict[str, Any]) -> str:
    """The worked answer of an example (for `--num_fewshot`); the prompts themselves have none."""
    return str(doc.get("answer", ""))


def process_results(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Metric values of one prompt. `results[0]` is a completion or, with `repeats`, a list of them.

    Over several samples each value is their mean, and three more tell how reliable the model is:
    `reliable_strict` and `reliable_loose` (all samples pass), `any_loose` (at least one does).
    """
    texts = results[0] if isinstance(results[0], list) else [results[0]]
    samples = [{**structure.score(text), **termination.score(text)} for text in texts]
    values: dict[str, Any] = dict(average(samples))
    values["by_domain"] = {"domain": doc["domain"], **{name: values[name] for name in DOMAIN_METRICS}}
    if len(samples) > 1:
        values["reliable_strict"] = min(sample["all_strict"] for sample in samples)
        values["reliable_loose"] = min(sample["all_loose"] for sample in samples)
        values["any_loose"] = max(sample["all_loose"] for sample in samples)
    return values
