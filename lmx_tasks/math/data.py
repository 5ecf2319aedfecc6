"""Where the problems come from, and what they must look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.jsonl import rows
from lmx_metrics.math.notation.gold import gold_answer
from lmx_tasks.common import data_file, or_gzipped

HERE = Path(__file__).resolve().parent
SUBJECTS = {
    "algebra": "Algebra",
    "counting_and_probability": "Counting & Probability",
    "geometry": "Geometry",
    "intermediate_algebra": "Intermediate Algebra",
    "number_theory": "Number Theory",
    "prealgebra": "Prealgebra",
    "precalculus": "Precalculus",
}
"""The Hub's configuration of each subject, and its name in the data."""
LEVELS = tuple(f"Level {number}" for number in range(1, 6))
HUB = {
    "lmx_math": ("EleutherAI/hendrycks_math", "21a5633873b6a120296cce3e2df9d5550074f4a3"),
    "lmx_math500": ("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
}
"""Each data set's repository on the Hub, and the commit that is read unless another one is named."""
FIELDS = ("problem", "level", "type", "solution")
_ON_THE_HUB = Path("test.jsonl")
_RENAMED = {"type": "subject"}  # MATH-500's name for it


def problems(name: str, data_dir: Any, revision: Any, subject: str | None = None) -> list[dict[str, str]]:
    """Return the problems of `lmx_math` or `lmx_math500`: from a local folder if there is one, else from the Hub.

    Raises:
        UserError: a file, line or field that is wrong; no local file and no Hub; a revision that is no text.
    """
    path = data_file(name, _ON_THE_HUB.name, _ON_THE_HUB, data_dir)
    if path is _ON_THE_HUB:
        return from_hub(name, revision, subject)
    return from_file(or_gzipped(path))


def from_file(path: Path) -> list[dict[str, str]]:
    """Read `.jsonl` or `.jsonl.gz`, one problem a line; raise `UserError` naming file, line and field."""
    return [_check(row, where) for where, row in rows(path, FIELDS)]


def from_hub(name: str, revision: Any, subject: str | None) -> list[dict[str, str]]:
    """Read the test split from the Hub, of one subject or all; `revision`: commit, tag or branch; None: ours."""
    from datasets import load_dataset

    if revision is not None and (not isinstance(revision, str) or not revision):
        raise UserError(f"--metadata revision must be the name of a commit, tag or branch, not {revision!r}")
    repository, commit = HUB[name]
    configs: list[str | None] = [None]
    if name == "lmx_math":
        configs = [subject] if subject else list(SUBJECTS)
    rows = []
    for config in configs:
        try:
            split = load_dataset(repository, config, split="test", revision=revision or commit)
        except Exception as error:  # datasets raises whatever its network layer raises
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{name}: the data set {repository} cannot be read from the Hub ({reason}). Without a network, put its "
                f'problems in <folder>/{name}/test.jsonl and give --metadata \'{{"data_dir": "<folder>"}}\''
            ) from error
        where = f"{repository}{f' ({config})' if config else ''}"
        rows += [_check(row, f"{where}, row {number}") for number, row in enumerate(split, start=1)]
    return rows


def chosen(rows: list[dict[str, str]], subject: str | None, level: int | None) -> list[dict[str, str]]:
    """Return the problems of one subject (by its name in `SUBJECTS`) and level; raise `UserError` if none is left."""
    if subject is not None and subject not in SUBJECTS:
        raise unknown("subject", subject, SUBJECTS)
    kept = [
        row
        for row in rows
        if (subject is None or row["type"] == SUBJECTS[subject]) and (level is None or row["level"] == f"Level {level}")
    ]
    if not kept:
        wanted = " and ".join(filter(None, (SUBJECTS.get(subject or ""), f"Level {level}" if level else "")))
        raise UserError(f"none of the {len(rows)} problems is of {wanted}. Is the file a part of the data set?")
    return kept


def _check(row: dict[str, Any], where: str) -> dict[str, str]:
    """Return the fields of a row, with the gold `answer` from its solution's boxes."""
    kept: dict[str, str] = {}
    for field in FIELDS:
        source = _RENAMED[field] if field not in row and field in _RENAMED else field
        if source not in row:
            raise UserError(f"{where}: field {field!r} is missing. Found: {', '.join(row) or 'nothing'}")
        value = row[source]
        if field == "level" and type(value) is int:
            value = f"Level {value}"
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where}: field {field!r} must be text that is not empty, not {value!r}")
        kept[field] = value
    if kept["level"] not in LEVELS:
        raise UserError(f"{where}: field 'level' must be one of {', '.join(LEVELS)}, not {kept['level']!r}")
    if kept["type"] not in SUBJECTS.values():
        raise unknown(f"{where}: field 'type'", kept["type"], SUBJECTS.values())
    answer = gold_answer(kept["problem"], kept["solution"])
    if answer is None:
        raise UserError(f"{where}: field 'solution' holds no answer: no \\boxed{{...}} that is closed and not empty")
    return {**kept, "answer": answer}
