"""The files of a run: where they are, whether they are whole, and where traces go."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.runs.folders import RESULTS, evaluated, samples_file
from lmx_files.runs.tally import Tally

PART = re.compile(r"^traces\.(?P<host>.+)\.(?P<pid>\d+)\.part")


def root(output_path: Path) -> Path:
    """Return the folder that `--output_path` means: itself, or that of a `.json` file."""
    return output_path.parent if output_path.suffix == ".json" else output_path


def results_files(folder: Path) -> set[Path]:
    """Return the results files in a folder and in those of models below it."""
    return {path for pattern in ("*.json", "*/*.json") for path in folder.glob(pattern) if RESULTS.match(path.name)}


def stamp(results_file: Path) -> str:
    """Return the time stamp that the files of one run share."""
    match = RESULTS.match(results_file.name)
    assert match is not None
    return match["stamp"]


def check_samples(results_file: Path, results: Mapping[str, Any]) -> list[Path]:
    """Return the samples files of a run after reading them whole.

    Raises:
        UserError: a file is missing or torn, or not each document that was evaluated is in it once.
    """
    paths = []
    for task in results.get("configs", {}):
        path = samples_file(results_file, task, stamp(results_file))
        if path is None or not path.is_file():
            raise UserError(f"the samples of {task} are missing: {path or 'its name is no file name'}")
        tally = Tally(*evaluated(results, task))
        for sample in jsonl.read(path, "a samples file"):
            tally.add(str(sample.get("filter", "none")), int(sample["doc_id"]))
        if problem := tally.problem():
            raise UserError(f"{path}: {problem}. Is the disk full? What was finished is in the journal: run again")
        paths.append(path)
    return paths


def check_traces(paths: Sequence[Path]) -> None:
    """Read the traces files of a finished run; raise a `UserError` for one that is torn."""
    for path in paths:
        jsonl.count(path, "a traces file")


def part(folder: Path) -> Path:
    """Return where this run writes traces until it is finished; ranks share a parent, and each adds its number."""
    process = os.getppid() if "RANK" in os.environ else os.getpid()
    return folder / f"traces.{platform.node()}.{process}.part"


def clear_parts(folder: Path) -> None:
    """Remove what killed processes of this machine left; the journal holds all of it."""
    for path in folder.glob("traces.*.part*"):
        match = PART.match(path.name)
        if match and match["host"] == platform.node() and not psutil.pid_exists(int(match["pid"])):
            path.unlink(missing_ok=True)


def keep_traces(part_file: Path | None, folder: Path, name: str) -> list[Path]:
    """Give a finished run's traces, one file a rank, their names beside the results."""
    if part_file is None:
        return []
    kept = []
    for path in sorted(part_file.parent.glob(f"{part_file.name}*")):
        target = folder / f"traces_{name}.jsonl{path.name.removeprefix(part_file.name)}"
        path.replace(target)
        kept.append(target)
    return kept
