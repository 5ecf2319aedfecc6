"""Reads plugins' task files without lm_eval, whose own index of 14,000 tasks takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lmx_plugins.discovery import Plugin, all_task_folders

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_LOADER):
    """A safe loader that keeps lm_eval's `!function` tags as text instead of importing them."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: str(getattr(node, "value", "")))


@dataclass(frozen=True)
class TaskFile:
    """One task or group as its file declares it."""

    name: str
    kind: str
    output_type: str
    metrics: tuple[str, ...]
    plugin: Plugin
    path: Path


def task_files() -> list[TaskFile]:
    """Return every task and group of the installed plugins, sorted by name."""
    found = [entry for plugin, folder in all_task_folders() for entry in _in_folder(plugin, folder)]
    return sorted(found, key=lambda entry: (entry.name, str(entry.path)))


def _in_folder(plugin: Plugin, folder: Path) -> Iterator[TaskFile]:
    for path in sorted(folder.rglob("*.yaml")):
        try:
            config = _read(path)
        except (OSError, ValueError, yaml.YAMLError):
            continue  # lm_eval skips such files too
        name, kind = (config.get("group"), "group") if "group" in config else (config.get("task"), "task")
        if isinstance(name, str):
            metrics = [m.get("metric") for m in config.get("metric_list") or [] if isinstance(m, dict)]
            output = str(config.get("output_type") or "")
            yield TaskFile(name, kind, output, tuple(str(m) for m in metrics if m), plugin, path)


def _read(path: Path, seen: frozenset[Path] = frozenset()) -> dict[str, Any]:
    """Return the settings of a file with its `include`d files merged underneath."""
    if path in seen:
        raise ValueError(f"{path} includes itself")
    config = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no settings")
    merged: dict[str, Any] = {}
    includes = config.pop("include", [])
    for include in includes if isinstance(includes, list) else [includes]:
        merged.update(_read((path.parent / include).resolve(), seen | {path}))
    return merged | config
