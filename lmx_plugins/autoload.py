"""Runs our hooks right after the modules of lm_eval that they prepare.

`_start.py`, the start-up file, brings this in when `lm_eval` is first imported. It imports only `sys`; the
modules with the hooks are imported when their turn comes.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest
if TYPE_CHECKING:
    from typing import Any

# Which function of which lmx_plugins module runs right after a module of lm_eval has been executed. The order
# inside lm_eval matters: a model registered before `lm_eval.models` has run would hide every built-in one,
# hence after, never before.
AFTER_IMPORT = {
    "lm_eval": ("guards", "prepare"),
    "lm_eval.models": ("bridge", "register_models"),
    "lm_eval.api.metrics": ("bridge", "register_metrics"),
    "lm_eval.filters": ("bridge", "register_filters"),
    "lm_eval.tasks.manager": ("bridge", "add_task_folders"),
    "lm_eval.tasks": ("bridge", "add_task_folders"),  # where 0.4.11 has its task manager
    "lm_eval.config.task": ("evaluation.written_settings", "watch_tasks"),
    "lm_eval.config.evaluate_config": ("evaluation.written_settings", "watch_config"),
    "lm_eval.api.task": ("evaluation.asked", "watch_requests"),
    "lm_eval.evaluator": ("evaluation.asked", "watch_evaluator"),
    "lm_eval.loggers.evaluation_tracker": ("guards", "guard_output_path"),
    "lm_eval.loggers.utils": ("surroundings", "guard_surroundings"),
    "lm_eval._cli.harness": ("guards", "fail_on_lost_results"),
}


class AfterImport:
    """A finder that lets the others find, and runs a hook after the module's own code."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec that the other finders give for `name`, with the hook tied to its loader."""
        if name not in AFTER_IMPORT:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                _tie_hook(spec, *AFTER_IMPORT[name])
                return spec
        return None


def _tie_hook(spec: Any, module_name: str, function_name: str) -> None:
    """Make `spec.loader` call the hook after it has executed the module."""
    loader = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: Any) -> None:
        execute(module)
        try:
            hooks = __import__("lmx_plugins." + module_name, fromlist=[function_name])
            getattr(hooks, function_name)(module)
        except Exception as error:
            # lm_eval must keep working whatever goes wrong on our side.
            print(f"lmx: warning: could not prepare {spec.name} for plugins: {error!r}", file=sys.stderr)

    try:
        loader.exec_module = exec_module
    except AttributeError:  # a loader with __slots__: leave it as it is
        return


def take_over(waiting: Any = None) -> AfterImport:
    """Return the finder, put where the one was that waited for lm_eval, or in front of all others."""
    for finder in sys.meta_path:
        if isinstance(finder, AfterImport):
            return finder
    ours = AfterImport()
    # In place: the import system is walking through this list.
    if waiting in sys.meta_path:
        sys.meta_path[sys.meta_path.index(waiting)] = ours
    else:
        sys.meta_path.insert(0, ours)
    return ours
