"""Hands installed plugins to lm_eval.

lm_eval up to 0.4.13, and 0.5.0.dev1, find no plugins. Others read the entry-point groups of models, metrics, filters
and aggregations (their registry then has `load_plugins`), or of tasks. Our placeholders are registered there too, and
first: lm_eval then finds the names taken by the same entry points and leaves them, and a broken plugin stays one
line. Every touch of something that lm_eval does not promise to keep is held by a test in tests/contract.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from lmx_plugins import discovery
from lmx_plugins.evaluation import standard_errors
from lmx_plugins.placeholder import PluginEntryPoint, metric, metric_setting, placeholder

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
    standard_errors.prepare(module)
    _register("aggregations", "aggregation_registry")
    registries = _registries()
    if not hasattr(registries, "metric_agg_registry"):  # 0.5: a metric is one object with all its settings
        _register("metrics", "metric_registry", metric)
        return
    added = _register("metrics", "metric_registry")
    for plugin in added:
        for name in ("metric_agg_registry", "higher_is_better_registry"):
            registry = getattr(registries, name)
            if plugin.name not in registry:
                group = f"{discovery.GROUPS['metrics']}#{name}"
                setting = metric_setting(plugin, group, registry, registries.metric_registry)
                registry.register(plugin.name, target=setting)


def lm_eval_discovers() -> bool:
    """Whether this lm_eval finds plugins of models, metrics, filters and aggregations by itself."""
    return hasattr(_registries(), "load_plugins")


def _registries() -> Any:
    import lm_eval.api.registry as registries  # imported already by whoever triggered us

    return registries


def _register(
    kind: str, registry_name: str, make: Callable[[discovery.Plugin, str, Any], PluginEntryPoint] = placeholder
) -> list[discovery.Plugin]:
    """Add placeholders for one kind to one registry and return the plugins that got in."""
    registry = getattr(_registries(), registry_name)
    added = []
    # Where lm_eval registers entry points without a look at them, a faulty one needs a placeholder that says so.
    for plugin in discovery.plugins_of(kind, faulty=lm_eval_discovers()):
        entry = make(plugin, discovery.GROUPS[kind], registry)
        present = registry._objs.get(plugin.name)
        if plugin.name not in registry:
            registry.register(plugin.name, target=entry)
            added.append(plugin)
        elif isinstance(present, EntryPoint) and present == entry:
            if not isinstance(present, PluginEntryPoint):  # lm_eval was first
                registry._objs[plugin.name] = entry
                added.append(plugin)
        elif not _same(present, entry):
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
    if manager is None or manager.__module__ != module.__name__:
        return
    built_in = Path(module.__file__ or "").parent
    manager.__init__ = _with_plugin_folders(manager.__init__, built_in)
    logging.getLogger("lm_eval.tasks._index").addFilter(_not_the_same_file)


def _with_plugin_folders(original: Callable[..., None], built_in: Path) -> Callable[..., None]:
    signature = inspect.signature(original)
    if not {"include_path", "include_defaults"} <= set(signature.parameters):
        raise TypeError(f"TaskManager takes {', '.join(signature.parameters)}; tasks of plugins need --include_path")

    @functools.wraps(original)
    def init(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        include_path, include_defaults = given["include_path"], given["include_defaults"]
        asked = list(include_path) if isinstance(include_path, (list, tuple)) else [include_path]
        asked = [path for path in asked if path]
        taken = {Path(path).resolve() for path in asked}
        folders = [folder for _, folder in discovery.all_task_folders() if folder not in taken]
        if not folders or (asked and not include_defaults):  # these folders and no others
            original(*bound.args, **bound.kwargs)
            return
        # Later folders win. lm_eval would put its own first (and plugins that it finds itself behind them), and a
        # plugin could then replace a built-in task; so its folder is named here, after the plugins' and before the
        # user's.
        own = [built_in] if include_defaults and with_built_in_tasks else []
        given.update(include_path=[*map(str, [*folders, *own]), *asked], include_defaults=False)
        original(*bound.args, **bound.kwargs)
        args[0].include_path = include_path

    return init


def _not_the_same_file(record: logging.LogRecord) -> bool:
    """Drop lm_eval's warning that a task overrides itself: a plugin and the user may name one folder."""
    if isinstance(record.msg, str) and "overrides existing task" in record.msg and isinstance(record.args, tuple):
        paths = [Path(str(value)).resolve() for value in record.args[-2:]]
        return paths[0] != paths[1]
    return True
