"""Names that a run asks for, looked up before anything heavy is imported: a slip costs a second, not the load."""

from __future__ import annotations

import fnmatch
import glob
import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path

from lmx_files.errors import UserError, unknown
from lmx_plugins import discovery
from lmx_plugins.discovery import Plugin
from lmx_plugins.task_files import in_folder, task_files

_WILDCARD = re.compile(r"(\[.+?\]|[*?])")
_ANY = {"*": r"[^\s\"',#]*", "?": r"[^\s\"',#]", "[": r"[^\s\"',#]"}
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

    Files that are there and folders are left to lm_eval. Its own files are searched as text, which takes half a second
    where its index takes seven; what only looks like the name of a task passes here and is refused by lm_eval.
    """
    found = task_files()
    for folder in include_path:
        if not folder.is_dir():
            raise UserError(f"--include_path {folder}: there is no such folder")
        found.extend(in_folder(folder, Plugin("tasks", str(folder), str(folder), "include_path", "")))
    known = {one.name for one in found} | {tag for one in found for tag in one.tags}
    missing = []
    for task in tasks:
        if glob.glob(task) or task in known:
            continue
        if task.endswith(".yaml"):
            raise UserError(f"--tasks {task}: there is no such file")
        if not fnmatch.filter(known, task):
            missing.append(task)
    if not missing:
        return
    mentioned, own = _built_in(missing)
    for task in missing:
        if task not in mentioned:
            raise unknown("task", task, known | own, "All: lmx ls tasks, lm_eval ls tasks; others: --include_path DIR")


def _mention(name: str) -> re.Pattern[bytes]:
    """Return what finds a name, or one that a pattern may mean, as an entry of a list or as a task, group or tag."""
    parts = [_ANY[part[0]] if number % 2 else re.escape(part) for number, part in enumerate(_WILDCARD.split(name))]
    return re.compile(
        rb"^[\s-]*(?:[\"']?(?:task|group|tag|include)[\"']?\s*:[^#\n]*?(?<![\w.-])|[\"']?)%b[\"']?(?![\w.-])"
        % "".join(parts).encode(),
        re.MULTILINE,
    )


def _longest_literal(name: str) -> bytes:
    """Return the longest part of a pattern that must stand as it is, which is quick to look for."""
    return max(_WILDCARD.split(name)[::2], key=len).encode()


def _built_in(wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return which of `wanted` lm_eval's task files name, and the names that they declare."""
    patterns = {name: _mention(name) for name in wanted}
    literal = {name: _longest_literal(name) for name in wanted}
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
                    mentioned |= {n for n, line in patterns.items() if literal[n] in text and line.search(text)}
    return mentioned, {name.decode(errors="replace") for name in own}
