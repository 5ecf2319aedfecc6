"""Installed plugins, read from entry points without importing any of them."""

from __future__ import annotations

import importlib
import importlib.metadata as metadata
import importlib.util
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError

logger = logging.getLogger(__name__)

# The first five are lm_eval's own, so that a package written for lm_eval works here and the other way round.
GROUPS = {
    "models": "lm_eval.models",
    "tasks": "lm_eval.tasks",
    "metrics": "lm_eval.metrics",
    "filters": "lm_eval.filters",
    "aggregations": "lm_eval.aggregations",
    "predictors": "lmx.predictors",  # lmx's own: lmx_analysis.performance_prediction.predictor says what one is
}

_REFERENCE = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?$")


@dataclass(frozen=True)
class Plugin:
    """One entry point of one installed distribution."""

    kind: str
    name: str
    target: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name!r} of {self.distribution} {self.version}"


@lru_cache(maxsize=1)
def find_plugins() -> tuple[Plugin, ...]:
    """Return every plugin of the environment, ordered by kind, name and distribution."""
    found = set()
    for kind, group in GROUPS.items():
        for entry in metadata.entry_points(group=group):
            found.add(Plugin(kind, entry.name, entry.value.strip(), *_distribution(entry)))
    order = list(GROUPS)
    return tuple(sorted(found, key=lambda p: (order.index(p.kind), p.name, p.distribution)))


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    """Return the name and version of what an entry point came with, however damaged its metadata is."""
    try:
        assert entry.dist is not None
        return str(entry.dist.metadata["Name"] or "unknown"), str(entry.dist.version or "?")
    except Exception:  # metadata of others, of any form; it is only for messages
        return "unknown", "?"


def plugins_of(kind: str, faulty: bool = False) -> list[Plugin]:
    """Return the plugins of one kind whose target can be read; warn about the others by name.

    `faulty`: return those as well, without a warning; `load` then says what is wrong with one.
    """
    usable = []
    for plugin in find_plugins():
        if plugin.kind != kind:
            continue
        fault = None if faulty else fault_of(plugin)
        if fault:
            logger.warning("lmx: left out %s plugin %s: %s", kind, plugin, fault)
        else:
            usable.append(plugin)
    return usable


def fault_of(plugin: Plugin) -> str | None:
    """Return what is wrong with a plugin as far as that shows without importing it, else None."""
    if not _REFERENCE.match(plugin.target):
        return f"its entry point {plugin.target!r} is not of the form 'package.module:object'"
    if plugin.kind != "tasks" and ":" not in plugin.target:
        return f"its entry point {plugin.target!r} names a module, not an object in it ('module:object')"
    package = plugin.target.partition(":")[0].partition(".")[0]
    try:
        known = importlib.util.find_spec(package)
    except Exception as error:
        return f"{package!r} cannot be looked up: {error!r}"
    return None if known else f"there is no module {package!r} in this environment"


def load(plugin: Plugin) -> Any:
    """Import what a plugin points at, or raise a `UserError` that says whose plugin is broken."""
    module_name, _, attributes = plugin.target.partition(":")
    try:
        loaded = importlib.import_module(module_name)
        for attribute in filter(None, attributes.split(".")):
            loaded = getattr(loaded, attribute)
        return loaded
    except UserError:
        raise
    except Exception as error:
        what = fault_of(plugin) or f"{type(error).__name__}: {error}"
        raise UserError(
            f"the {plugin.kind} plugin {plugin} cannot be loaded from {plugin.target!r} ({what}). "
            f"Mend or reinstall it, or remove it with: pip uninstall {plugin.distribution}"
        ) from error


def task_folders(plugin: Plugin) -> list[Path]:
    """Return the folders with task files of a `lm_eval.tasks` plugin.

    The entry point may name a package (its folder is taken, and nothing is imported) or an object in a
    module: a path, several paths, or a function that returns them.
    """
    if ":" in plugin.target:
        value = load(plugin)
        value = value() if callable(value) else value
        folders = [Path(v) for v in ([value] if isinstance(value, (str, Path)) else value)]
    else:
        folders = _package_folders(plugin.target)
    there = [folder.resolve() for folder in folders if folder.is_dir()]
    if not there:
        raise UserError(f"the tasks plugin {plugin} points at {plugin.target!r}, where there is no folder")
    return there


def _package_folders(package: str) -> list[Path]:
    # Only the top-level package is looked up: find_spec of a dotted name would import its parents.
    top, _, rest = package.partition(".")
    spec = importlib.util.find_spec(top)
    places: Sequence[str] = (spec.submodule_search_locations or []) if spec else []
    return [Path(place).joinpath(*filter(None, rest.split("."))) for place in places]


@lru_cache(maxsize=1)
def all_task_folders() -> tuple[tuple[Plugin, Path], ...]:
    """Return the task folders of every plugin, each once; warn about plugins that cannot name theirs."""
    folders: dict[Path, Plugin] = {}
    for plugin in plugins_of("tasks"):
        try:
            for folder in task_folders(plugin):
                folders.setdefault(folder, plugin)
        except Exception as error:
            what = str(error) if isinstance(error, UserError) else f"the tasks plugin {plugin}: {error!r}"
            logger.warning("lmx: left out: %s", what)
    return tuple((plugin, folder) for folder, plugin in folders.items())
