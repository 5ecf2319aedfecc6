"""Whether lm_eval will see the installed plugins, found out without importing it or, unless asked, them."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lmx_plugins.discovery import Plugin, fault_of, find_plugins, load, task_folders


@dataclass(frozen=True)
class Status:
    """What to say of a plugin; `broken` when it cannot be used at all."""

    text: str
    broken: bool = False


def statuses(check: bool = False) -> list[tuple[Plugin, Status]]:
    """Return every plugin with its status; `check` imports them to find out."""
    first: dict[tuple[str, str], Plugin] = {}
    answers = []
    for plugin in find_plugins():
        fault = fault_of(plugin)
        status = Status(f"broken: {fault}", broken=True) if fault else _status(plugin, first, check)
        answers.append((plugin, status))
        if not fault:
            first.setdefault((plugin.kind, plugin.name), plugin)
    return answers


def _status(plugin: Plugin, first: dict[tuple[str, str], Plugin], check: bool) -> Status:
    rival = first.get((plugin.kind, plugin.name))
    # The name of a tasks entry point is only a label: any number of packages may use the same.
    if plugin.kind != "tasks":
        if plugin.name in built_in_names(plugin.kind):
            return Status("shadowed by built-in")
        if rival:
            return Status(f"shadowed by {rival.distribution}")
    if check:
        try:
            task_folders(plugin) if plugin.kind == "tasks" else load(plugin)
        except Exception as error:
            return Status(f"broken: {error}", broken=True)
    return Status("ok")


def built_in_names(kind: str) -> frozenset[str]:
    """Return lm_eval's own names of a kind, read from its source: importing it would take seconds."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    home = Path(spec.submodule_search_locations[0])
    if kind == "models":
        return _model_mapping(home / "models" / "__init__.py")
    metrics = [home / "api" / "metrics.py", *sorted((home / "api" / "metrics").glob("*.py"))]  # a folder in 0.5
    sources = {"metrics": metrics, "aggregations": metrics, "filters": sorted((home / "filters").glob("*.py"))}
    return frozenset(
        name
        for source in sources.get(kind, [])
        if source.is_file()
        for name in _registered(ast.parse(source.read_text(encoding="utf-8")), f"register_{kind.removesuffix('s')}")
    )


def _registered(tree: ast.Module, decorator: str) -> Iterator[str]:
    """Yield the names that a module registers with `decorator`, which it may import under another name."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == decorator
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in aliases:
            for value in [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "metric")][:1]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def _model_mapping(source: Path) -> frozenset[str]:
    tree = ast.parse(source.read_text(encoding="utf-8")) if source.is_file() else ast.Module([], [])
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "MODEL_MAPPING" for t in node.targets):
            return frozenset(ast.literal_eval(node.value))
    return frozenset()
