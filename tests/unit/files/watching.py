"""Watches what code does to the machine while it runs: files that it changes outside a folder, processes it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_STARTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
}
_SIGNALS = {"os.kill", "os.killpg", "signal.pthread_kill"}
# Values that JSON and YAML can hold where something else is expected.
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 5, 1 << 31, 1 << 70, -0.5, 1e308, float("nan"), float("inf"), "", "text", "-1", "é\u202e",
    "\x1b]0;x\x07", "\ud800", "../../x", "/etc/passwd", "--user=root", "1:2", "9" * 400, "a" * 3000, "2026-01-01", "\0",
    [], {}, [[]], [1, 2], [-1], ["a"], [None], {"": None}, {"a": {"b": {"c": []}}}, {"source": "x"}, [{"source": "x"}],
    [{"source": "x", "start": 0, "end": 1 << 40}], [{"source": 1, "start": "0", "end": None}], {"x": {"forwards": "a"}},
    {"text": "a"}, {"text": "a", "trace": {}}, {"text": 1, "trace": []}, {"header": 5}, {"header": [], "task": {}},
]  # fmt: skip
_watchers: list[Watcher] = []
_hooked = False


class Watcher:
    """A context in which nothing outside `folder` may be changed, and no process started or signalled."""

    def __init__(self, *folders: Path) -> None:
        self.folders = [os.path.realpath(folder) for folder in folders]
        self.seen: list[str] = []

    def __enter__(self) -> Watcher:
        global _hooked
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked = True
        _watchers.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watchers.remove(self)
        assert self.seen == []

    def told(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an event that is not allowed."""
        if event in _STARTS | _SIGNALS:
            self.seen.append(f"{event} {arguments}")
        elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path, mode, flags = arguments
            if (flags or 0) & _WRITES or set(mode or "") & set("wax+"):
                self._check(event, path)
        elif event in _CHANGES:
            for path in arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]:
                self._check(event, path)

    def _check(self, event: str, path: Any) -> None:
        place = os.path.realpath(f"/proc/self/fd/{path}" if isinstance(path, int) else os.fsdecode(path))
        if not any(os.path.commonpath([place, folder]) == folder for folder in self.folders):
            self.seen.append(f"{event} {place}")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watcher in _watchers:
        watcher.told(event, arguments)
