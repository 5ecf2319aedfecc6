"""What is written in tasks' files and in a `--config` file: mistakes that lm_eval takes, or ends with a traceback.

Everything here is about runs with models of plugins, but for settings with which lm_eval itself fails: these are one
line for every model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from lmx_files.errors import UserError
from lmx_files.values import read_float, shown
from lmx_files.yaml import StrictLoader, read_yaml
from lmx_plugins import discovery


class _TaskLoader(StrictLoader):
    """Keeps lm_eval's `!function` tags as text instead of importing them."""


_TaskLoader.add_multi_constructor("!", lambda loader, _suffix, node: str(getattr(node, "value", "")))


def watch_tasks(module: ModuleType) -> None:
    """Say in one line what lm_eval fails with in a task's settings; runs after lm_eval's module of their form."""
    config = module.TaskConfig
    config.__post_init__ = _telling(config.__post_init__)


def watch_config(module: ModuleType) -> None:
    """Read `--config` strictly; runs after lm_eval's module of the settings of a run."""
    config = module.EvaluatorConfig
    config.from_cli = classmethod(_strict(config.from_cli.__func__))


def is_plugin(model: Any) -> bool:
    """Whether a model, by its name, is a plugin's."""
    return isinstance(model, str) and model in {plugin.name for plugin in discovery.plugins_of("models")}


def of_tasks(manager: Any, tasks: Any) -> dict[str, dict[str, Any]]:
    """Return the generation settings that tasks' files hold, by task; those that lm_eval would not find are left out.

    Args:
        manager: lm_eval's `TaskManager`; None: only what is given as settings or as a task is known.
        tasks: names of tasks, groups and tags, settings, or tasks, as lm_eval takes them.

    Raises:
        UserError: a file that is not lm_eval's own has a key twice.
    """
    index = getattr(manager, "task_index", None) or getattr(manager, "_index", None)  # the latter in 0.5
    found: dict[str, dict[str, Any]] = {}
    for name, settings, path in _settings(tasks, index if isinstance(index, Mapping) else {}, frozenset()):
        if path is not None:
            _refuse_doubled_keys(path)
        given = settings.get("generation_kwargs")
        if settings.get("output_type", "generate_until") == "generate_until" and isinstance(given, Mapping):
            found[name] = dict(given)
    return found


def _settings(
    tasks: Any, index: Mapping[str, Any], seen: frozenset[str]
) -> Iterator[tuple[str, Mapping[str, Any], Path | None]]:
    """Yield each task's name, settings and file (None: it has none, or another name stands for it)."""
    for task in tasks if isinstance(tasks, list | tuple) else [tasks]:
        own = task if isinstance(task, Mapping) else {}
        name = str(own.get("task") or own.get("group") if own else getattr(task, "task_name", task))
        entry = index.get(name)
        settings = {**(getattr(entry, "cfg", None) or {}), **own}
        members = settings.get("task") if isinstance(settings.get("task"), list) else None
        if name in seen:
            continue
        if entry is not None and not settings:  # a tag
            yield from _settings(sorted(entry.tags), index, seen | {name})
        elif members is not None:
            yield from _settings(members, index, seen | {name})
        elif settings:
            yield name, settings, getattr(entry, "yaml_path", None)
        elif config := getattr(task, "config", None):
            yield name, vars(config) if hasattr(config, "__dict__") else {}, None


def _refuse_doubled_keys(path: Path) -> None:
    """Raise a `UserError` for a key that stands twice in a task's file, or in one that it includes."""
    import lm_eval

    own = Path(lm_eval.__file__).parent
    if path.is_relative_to(own):
        return
    try:
        with path.open(encoding="utf-8") as file:
            config = yaml.load(file, Loader=_TaskLoader)
    except UserError as error:
        raise UserError(f"the task file {path}: {error}") from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return  # lm_eval says so itself
    includes = config.get("include") or [] if isinstance(config, dict) else []
    for include in includes if isinstance(includes, list) else [includes]:
        further = (path.parent / str(include)).resolve()
        if further != path:
            _refuse_doubled_keys(further)


def _telling(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(original)
    def post_init(self: Any) -> None:
        given = self.generation_kwargs
        try:
            original(self)
        except (AttributeError, TypeError, ValueError) as error:
            if given is not None and not isinstance(given, Mapping):
                what = f"generation_kwargs={shown(given)} are no settings: write name: value, one a line"
                raise UserError(f"task {self.task}: {what}") from error
            if given is not None and "temperature" in given:
                try:
                    read_float("temperature", given["temperature"])
                except UserError as mistake:
                    raise UserError(f"task {self.task}: generation_kwargs: {mistake}") from error
            raise

    return post_init


def _strict(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def from_cli(cls: type, namespace: Any) -> Any:
        path = getattr(namespace, "config", None)
        try:
            if path:
                read_yaml(path, f"--config {path}")
        except UserError:
            if is_plugin(getattr(namespace, "model", None) or _loosely(str(path)).get("model")):
                raise
        return original(cls, namespace)

    return from_cli


def _loosely(path: str) -> Mapping[str, Any]:
    """Return a YAML file as lm_eval reads it; empty if it cannot be read."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}
