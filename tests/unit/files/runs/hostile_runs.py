"""Results folders as nobody would send them: good runs, and ways to spoil one file of them."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.unit.guided.guided_tools import answer, write_guided_run

SECRET = "the user's own file"
HUGE = "@huge@"  # stands for numbers that json.dumps cannot write
RAW = {
    HUGE: "9" * 5000,
    "@big@": "1" + "0" * 400,
    "@inf@": "1e999",
    "@deep@": "[" * 3000 + "]" * 3000,
    "@nested@": "[" * 80 + "]" * 80,
}
VALUES = [
    None, True, False, -1, 0, 3.5, 2**62, -(10**18), 10**30, float("nan"), float("inf"), 1e300, "", "7", "\ud800",
    "a\nb\x1b[31m", "=1+1", "x" * 3000, "../../outside/secret", "/etc/hostname", "nul\0", [], {}, [[]], [None],
    {"a": {"b": []}}, [1, None], *RAW,
]  # fmt: skip
KEYS = ["", "../../outside/secret", "/etc/hostname", "x" * 300, "\ud800", "a,b", "acc,none", "a/b", "nul\0", "toy"]
# What takes the place of a whole file.
SHAPES = ("folder", "pipe", "link", "dangling", "empty", "torn", "bytes", "text", "list")

Tree = dict[str, list[Any]]
"""By the beginning of a file's name its values: one for JSON, one a line for JSON lines."""


def write_good(folder: Path) -> None:
    """Write a guided run of three documents with everything that a run may have beside it."""
    answers = []
    for number in range(3):
        pieces = [("base", "2 + 2", 3), ("oracle", f" is {number}", 2)]
        logged, line = answer(number, pieces, acc=float(number % 2), loss=0.5, doc={"question": "q", "answer": "4"})
        text = json.dumps(logged["doc"], indent=2, ensure_ascii=False)
        logged["doc_hash"], logged["target_hash"] = sha256(text.encode()).hexdigest(), "t"
        answers.append((logged, line))
    write_guided_run(folder, answers)
    (results,) = folder.glob("results_*")
    whole = json.loads(results.read_text())
    whole |= {
        "n-samples": {"toy": {"original": 9, "effective": 3}},
        "groups": {"all": {"alias": "all", "acc,none": 0.5}},
        "group_subtasks": {"all": ["toy"]},
        "versions": {"toy": 1.0},
        "n-shot": {"toy": 0},
        "date": 1767323045.0,
        "total_evaluation_time_seconds": "12.5",
    }
    whole["config"]["decoding"] |= {"texts": 3, "seconds": 1.5, "finish": {"eos": 3}, "notes": ["a note"]}
    results.write_text(json.dumps(whole))
    (manifest,) = folder.glob("manifest_*")
    told = {
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 60.0,
        "machine": {"host": "here"},
        "versions": {"a": "1"},
    }
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | told))


def read_tree(folder: Path) -> Tree:
    """Return what the files of a run hold."""
    return {
        path.name: [json.loads(line) for line in path.read_text().splitlines()]
        if ".jsonl" in path.name
        else [json.loads(path.read_text())]
        for path in sorted(folder.iterdir())
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON value."""
    if path:
        yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*path, key))


def spoilt(good: Tree) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Return a strategy of one to three changes: (file, path, what, value)."""
    every = [(name, path) for name, values in good.items() for path in places(values)]
    change = st.tuples(
        st.sampled_from(every), st.sampled_from(("set", "set", "drop", "rename", "double")), st.integers(0, 10**6)
    )
    shape = st.tuples(st.sampled_from(sorted(good)), st.sampled_from(SHAPES))
    return st.lists(st.one_of(change, change, change, shape), min_size=1, max_size=3)


def apply(changes: list[tuple[Any, ...]], good: Tree, folder: Path, outside: Path) -> None:
    """Write a run with `changes`; links lead to `outside`, a file."""
    tree, shapes = copy.deepcopy(good), {}
    for change in changes:
        if isinstance(change[0], str):
            shapes[change[0]] = change[1]
        else:
            (name, path), how, number = change
            _change(tree[name], path, how, number)
    folder.mkdir()
    for name, values in tree.items():
        text = "".join(json.dumps(value) + "\n" for value in values)
        for mark, raw in RAW.items():
            text = text.replace(f'"{mark}"', raw)
        _put(folder / name, text.encode("utf-8", "surrogatepass"), shapes.get(name), outside)


def _change(values: Any, path: tuple[Any, ...], how: str, number: int) -> None:
    try:
        for key in path[:-1]:
            values = values[key]
        value = copy.deepcopy(VALUES[number % len(VALUES)])  # changed further by what follows
        if how == "set":
            values[path[-1]] = value
        elif how == "drop":
            del values[path[-1]]
        elif how == "double" and isinstance(values, list):
            values.append(values[path[-1]])
        elif isinstance(values, dict):
            values[KEYS[number % len(KEYS)]] = values.pop(path[-1])
    except (KeyError, IndexError, TypeError):  # an earlier change took the place away
        return


def _put(path: Path, raw: bytes, shape: str | None, outside: Path) -> None:
    if shape == "folder":
        path.mkdir()
    elif shape == "pipe":
        os.mkfifo(path)
    elif shape == "link":
        path.symlink_to(outside)
    elif shape == "dangling":
        path.symlink_to(outside.parent / "none")
    else:
        content = {"empty": b"", "torn": raw[:-7], "bytes": b"\xff\xfe" + raw, "text": b"hello\n", "list": b"[1]\n"}
        path.write_bytes(content.get(shape or "", raw))


class Watcher:
    """Notes what this process opens for writing, moves, removes or starts, as Python's audit events tell it."""

    def __init__(self) -> None:
        self.allowed: list[str] | None = None
        self.forbidden: list[str] = []
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self, allowed: Path, forbidden: Path) -> Iterator[None]:
        """Allow writing below `allowed` only, and no reading of `forbidden`."""
        self.allowed, self.forbidden, self.seen = [str(allowed)], [str(forbidden)], []
        try:
            yield
        finally:
            self.allowed = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
            self.seen.append(f"{event} {arguments[0]!r}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            writes = bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
            if (writes and not self._is_allowed(path)) or os.path.realpath(path) in self.forbidden:
                self.seen.append(f"open {path}")
        elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate"):
            names = [os.fsdecode(each) for each in arguments[:2] if isinstance(each, (str, bytes))]
            self.seen += [f"{event} {name}" for name in names if not self._is_allowed(os.path.abspath(name))]

    def _is_allowed(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self.allowed or ()) or path == os.devnull
