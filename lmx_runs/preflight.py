"""Names that a run asks for, looked up before anything heavy is imported: a slip costs a second, not the load."""

from __future__ import annotations

import glob
import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path

from lmx_plugins import discovery
from lmx_plugins.discovery import Plugin
from lmx_plugins.errors import unknown
from lmx_plugins.task_files import in_folder, task_files

_WILD = frozenset("*?[")
_OWN = re.compile(rb"^[\"']?(?:task|group|tag)[\"']?\s*:\s*[\"']?([\w.+/-]+)", re.MULTILINE)


def check_model(name: str) -> None:
    """Raise a `UserError` for a `--model` that neither lm_eval nor a plugin has."""
    import lm_eval.models
    from lm_eval.api.registry import model_registry

    assert lm_eval.models  # importing it fills the registry, without any model's own imports
    names = {*map(str, model_registry.keys()), *(plugin.name for plugin in discovery.plugins_of("models"))}
    if name not in names:
        raise unknown("--model", name, names, "All: lmx ls models; lm_eval's own are in its docs/interface.md")


def check_tasks(tasks: Iterable[str], include_path: Iterable[Path] = ()) -> None:
    """Raise a `UserError` for a task that no plugin, no `include_path` and no file of lm_eval's own names.

    Patterns, files and folders are left to lm_eval. Its own files are searched as text, which takes half a second where
    its index takes seven; a name that only looks like one of a task passes here and is refused by lm_eval.
    """
    asked = [task for task in tasks if not (_WILD & set(task) or task.endswith(".yaml") or glob.glob(task))]
    found = task_files()
    for folder in include_path:
        found.extend(in_folder(folder, Plugin("tasks", str(folder), str(folder), "include_path", "")))
    known = {one.name for one in found} | {tag for one in found for tag in one.tags}
    missing = [task for task in asked if task not in known]
    if not missing:
        return
    mentioned, own = _built_in(missing)
    for task in missing:
        if task not in mentioned:
            raise unknown("task", task, known | own, "All: lmx ls tasks, lm_eval ls tasks; others: --include_path DIR")


def _built_in(wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return which of `wanted` lm_eval's task files name, and the names that they declare."""
    # Alone as an entry of a list, or as (part of) what a task, group or tag is.
    patterns = {
        name: re.compile(
            rb"^[\s-]*(?:[\"']?(?:task|group|tag|include)[\"']?\s*:[^#\n]*?(?<![\w.-])|[\"']?)%b[\"']?(?![\w.-])"
            % re.escape(name.encode()),
            re.MULTILINE,
        )
        for name in wanted
    }
    mentioned: set[str] = set()
    own: set[bytes] = set()
    spec = importlib.util.find_spec("lm_eval")
    for home in (spec.submodule_search_locations or ()) if spec else ():
        for folder, _, files in os.walk(os.path.join(home, "tasks")):
            for file in files:
                if file.endswith((".yaml", ".yml")) or "." not in file:  # templates that files include have any name
                    try:
                        text = Path(folder, file).read_bytes()
                    except OSError:
                        continue
                    own.update(_OWN.findall(text))
                    mentioned |= {n for n, line in patterns.items() if n.encode() in text and line.search(text)}
    return mentioned, {name.decode(errors="replace") for name in own}
