"""How Super-NaturalInstructions and BIG-bench are laid out where they are published."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.jsonl import parse
from lmx_tasks.bigbench import data as bigbench
from lmx_tasks.superni import data as superni


@dataclass(frozen=True)
class Upstream:
    """The layout of a repository of tasks.

    Attributes:
        key, items: the fields of a task's name and of its instances.
        file: matches the path of a task's file and finds its name. patterns: the same for the Hub's client.
        list_file: matches the path of the list of test tasks. shipped_list: ours, where the repository has none.
        check: raises a `UserError` for a task of which no documents can be made.
        subtasks: a name in a list stands for the tasks below it too.
        hint: what a source without any task is told.
    """

    key: str
    items: str
    file: re.Pattern[str]
    patterns: tuple[str, ...]
    check: Callable[[Mapping[str, Any], str], None]
    hint: str
    list_file: re.Pattern[str] | None = None
    shipped_list: Path | None = None
    subtasks: bool = False

    def task(self, path: str) -> str:
        """Return the name of the task that a file holds; empty for another file."""
        match = self.file.fullmatch(path)
        return match["name"] if match else ""

    def is_list(self, path: str) -> bool:
        """Whether a file is the list of test tasks."""
        return self.list_file is not None and self.list_file.fullmatch(path) is not None

    def listed(self, task: str, names: list[str] | None) -> bool:
        """Whether a list of names has a task; None has all."""
        return names is None or task in names or (self.subtasks and any(task.startswith(f"{n}/") for n in names))

    def row(self, task: str, raw: bytes, most: int, where: str) -> dict[str, Any]:
        """Return a task as it is written: its own fields, the first instances, and how many there were.

        Raises:
            UserError: it is no task; the message names `where`.
        """
        value = parse(raw, f"{where}: not JSON")
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected a JSON object, one task")
        items = value.get(self.items)
        total = f"n_{self.items.lower()}_total"
        row: dict[str, Any] = {self.key: task}
        if self.key not in value:  # a file as published, and not a line that was made of one
            row |= {"git_blob": _git_blob(raw), total: len(items) if isinstance(items, list) else 0}
        row |= {name: each for name, each in value.items() if name != self.key}
        if isinstance(items, list):
            row[self.items] = items[:most]
        self.check(row, where)
        return row


def _git_blob(raw: bytes) -> str:
    """Return the name that git gives a file, by which it is found upstream."""
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()


KINDS = {
    superni.NAME: Upstream(
        key=superni.KEY,
        items="Instances",
        file=re.compile(r"(?:[^/]+/)?tasks/(?P<name>task\d+_[^/]+)\.json"),
        patterns=("tasks/*.json", "splits/default/*.txt"),
        check=superni.check,
        hint="no tasks of natural-instructions there: it should hold tasks/*.json and splits/default/test_tasks.txt",
        list_file=re.compile(r"(?:[^/]+/)?splits/default/test_tasks\.txt"),
    ),
    bigbench.NAME: Upstream(
        key=bigbench.KEY,
        items="examples",
        file=re.compile(r"(?:[^/]+/)?bigbench/benchmark_tasks/(?P<name>.+)/task\.json"),
        patterns=("bigbench/benchmark_tasks/**/task.json",),
        check=bigbench.check,
        hint="no tasks of BIG-bench there: it should hold bigbench/benchmark_tasks/**/task.json",
        shipped_list=bigbench.HERE / "tasks.txt",
        subtasks=True,
    ),
}
"""By the name that `lmx data prepare` takes."""
