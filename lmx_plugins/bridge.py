"""Hands installed plugins to an lm_eval that does not look for them itself.

lm_eval 0.4.13 and older find no plugins. Later releases read the entry-point groups of models, metrics,
filters and aggregations (their registry then has `load_plugins`), and perhaps of tasks: each function here
first looks whether it is needed. Every touch of something that lm_eval does not promise to keep is held by a
test in tests/contract.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lmx_plugins import discovery
from lmx_plugins.placeholder import metric_setting, placeholder

logger = logging.getLogger(__name__)

# `lmx run` clears this when it knows that no built-in task is asked for: indexing 14,000 of them takes seconds.
with_built_in_tasks = True


def register_models(module: ModuleType) -> None:
    """Add the model plugins; runs after `lm_eval.models` has registered its own."""
    _register("models", "model_registry")


def register_filters(module: ModuleType) -> None:
    """Add the filter plugins; runs after `lm_eval.filters` has registered its own."""
    _register("filters", "filter_registry")


def register_metrics(module: ModuleType) -> None:
    """Add the metric and aggregation plugins; runs after `lm_eval.api.metrics` has registered its own."""
    _register("aggregations", "aggregation_registry")
    added = _register("metrics", "metric_registry")
    registries = _registries()
    for plugin in added:
        for name in ("metric_agg_registry", "higher_is_better_registry"):
            registry = getattr(registries, name)
            if plugin.name not in registry:
                group = f"{discovery.GROUPS['metrics']}#{name}"
                setting = metric_setting(plugin, group, registry, registries.metric_registry)
                registry.register(plugin.name, target=setting)


def lm_eval_discovers(kind: str) -> bool:
    """Whether this lm_eval finds plugins of a kind by itself."""
    registries = _registries()
    if kind != "tasks":
        return hasattr(registries, "load_plugins")
    # Task discovery has no settled interface yet; wherever it lands, the group's name must be written out in
    # the code.
    home = Path(registries.__file__ or "").parents[1]
    group = re.compile(r"""["']lm_eval\.tasks["']""")
    places = [home / "api" / "registry.py", *sorted((home / "tasks").glob("*.py"))]
    return any(group.search(place.read_text(encoding="utf-8")) for place in places if place.is_file())


def _registries() -> Any:
    import lm_eval.api.registry as registries  # imported already by whoever triggered us

    return registries


def _register(kind: str, registry_name: str) -> list[discovery.Plugin]:
    """Add placeholders for one kind to one registry and return the plugins that got in."""
    if lm_eval_discovers(kind):
        return []
    registry = getattr(_registries(), registry_name)
    added = []
    for plugin in discovery.plugins_of(kind):
        entry = placeholder(plugin, discovery.GROUPS[kind])
        if plugin.name not in registry:
            registry.register(plugin.name, target=entry)
            added.append(plugin)
        elif not _same(registry._objs[plugin.name], entry):
            logger.warning(
                "lmx: left out %s plugin %s: lm_eval already has %r by this name, which is kept",
                kind,
                plugin,
                plugin.name,
            )
    return added


def _same(present: Any, entry: Any) -> bool:
    """Whether what a registry holds is this very plugin, registered by an earlier import of its module."""
    return present == entry.value or bool(entry == present)


def add_task_folders(module: ModuleType) -> None:
    """Make every `TaskManager` search the plugins' folders too; runs after the module that defines it."""
    manager = getattr(module, "TaskManager", None)
    if manager is None or manager.__module__ != module.__name__ or lm_eval_discovers("tasks"):
        return
    built_in = Path(module.__file__ or "").parent
    manager.__init__ = _with_plugin_folders(manager.__init__, built_in)
    logging.getLogger("lm_eval.tasks._index").addFilter(_not_the_same_file)


def _with_plugin_folders(original: Callable[..., None], built_in: Path) -> Callable[..., None]:
    @functools.wraps(original)
    def init(
        self: Any,
        verbosity: Any = None,
        include_path: Any = None,
        include_defaults: bool = True,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        asked = list(include_path) if isinstance(include_path, (list, tuple)) else [include_path]
        asked = [path for path in asked if path]
        taken = {Path(path).resolve() for path in asked}
        folders = [folder for _, folder in discovery.all_task_folders() if folder not in taken]
        if not folders or (asked and not include_defaults):  # these folders and no others
            original(self, verbosity, include_path, include_defaults, *args, **kwargs)
            return
        # Later folders win. lm_eval would put its own first, and a plugin could then replace a built-in task;
        # so its folder is named here, after the plugins' and before the user's.
        own = [built_in] if include_defaults and with_built_in_tasks else []
        original(self, verbosity, [*map(str, [*folders, *own]), *asked], False, *args, **kwargs)
        self.include_path = include_path

    return init


def _not_the_same_file(record: logging.LogRecord) -> bool:
    """Drop lm_eval's warning that a task overrides itself: a plugin and the user may name one folder."""
    if isinstance(record.msg, str) and "overrides existing task" in record.msg and isinstance(record.args, tuple):
        paths = [Path(str(value)).resolve() for value in record.args[-2:]]
        return paths[0] != paths[1]
    return True
