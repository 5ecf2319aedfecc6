"""`lmx new`: write a plugin package that works as it stands.

The templates are such packages themselves, called `my-task`, `my-model`, `my-metric` and `my-decoder`: linted and
type-checked with the rest of lmx. A new package is a copy in which the name is another one.
"""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import keyword
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal

TEMPLATES = Path(__file__).with_name("templates")
LONGEST_NAME = 30
OWN_FOLDERS = ("tests", "build", "dist")  # folders of a package that hold something else than its modules


@dataclass(frozen=True)
class Kind:
    """A kind of plugin: its kind in `lmx_plugins.discovery`, and a command that uses the new package."""

    group: str
    try_it: str


KINDS = {
    "task": Kind("tasks", "lm_eval --model scripted --model_args text=Paris --tasks {name}"),
    "model": Kind("models", "lm_eval --model {name} --tasks constraint_tiny --limit 4"),
    "metric": Kind("metrics", "lm_eval --model scripted --tasks tests/{name}_example.yaml"),
    "decoder": Kind(
        "models", "lm_eval --model {name} --model_args pretrained=tiny-base --tasks constraint_tiny --limit 4"
    ),
}


def new(
    kind: Annotated[str, typer.Argument(help="task, model, metric or decoder.")],
    name: Annotated[str, typer.Argument(help="The package's name, such as my-task.")],
    path: Annotated[
        Path | None, typer.Option(help="The folder to make; it must not exist or be empty. By default ./NAME.")
    ] = None,
) -> None:
    """Write a plugin package with a passing test: a task, a model, a metric, or a way of decoding."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS, "For example: lmx new task my-task")
    _check_name(kind, name)
    folder = (path or Path(name)).expanduser()
    _check_folder(folder)
    _write(kind, name, folder)
    module = module_name(name)
    terminal.say(f"{folder} holds a {kind} that works. Next:\n")
    for step in (f"cd {shlex.quote(str(folder))}", "pip install -e .", "pytest", KINDS[kind].try_it):
        terminal.say(f"    {step.format(name=module)}")
    terminal.say("\nREADME.md in it says what to change where.")


def module_name(name: str) -> str:
    """Return the import name of a distribution, which is also the plugin's name for lm_eval."""
    return name.replace("-", "_")


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
        mended = re.sub(r"[^a-z0-9]+", "-", name.lower())[:LONGEST_NAME].strip("-").lstrip("0123456789-")
        raise UserError(
            f"{name!r} cannot be a package's name: give at most {LONGEST_NAME} small letters and digits, words joined "
            f"by - or _, a letter first{f'; for example {mended}' if mended else ''}"
        )
    taken = _owner(kind, name)
    if taken:
        raise UserError(f"the name {name!r} is taken: {taken}. Choose another, for example {_free_name(kind, name)}")


def _free_name(kind: str, name: str) -> str:
    candidates = (f"my-{name}", f"{name}-{kind}", f"my-{name}-{kind}")
    return next((candidate for candidate in candidates if _owner(kind, candidate) is None), f"my-own-{name}")


def _owner(kind: str, name: str) -> str | None:
    """Return what already has a name, in words, or None."""
    module = module_name(name)
    if keyword.iskeyword(module):
        return f"{module} is a keyword of Python"
    if module in OWN_FOLDERS:
        return f"{module} is a folder of every package that is not its code"
    if module in sys.stdlib_module_names:
        return f"{module} is a module of Python's standard library"
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.origin is not None:  # a folder that happens to lie here has no origin
        return f"a module {module} is installed here ({spec.origin})"
    try:
        return f"a package {name} {metadata.version(name)} is installed here"
    except metadata.PackageNotFoundError:
        pass
    texts = "\n".join(path.read_text(encoding="utf-8") for _, path in _template(kind))
    clash = re.search(rf"\b{_class_name(module)}(LM|Config)\b", texts)
    if clash and module != f"my_{kind}":
        return f"the new package would use {clash[0]} of lmx beside its own"
    return _plugin_owner(KINDS[kind].group, module)


def _plugin_owner(group: str, name: str) -> str | None:
    from lmx_plugins.discovery import find_plugins
    from lmx_plugins.status import built_in_names

    if group == "tasks":
        return _task_owner(name)
    if name in built_in_names(group):
        return f"lm_eval has {name} among its {group}"
    for plugin in find_plugins():
        if (plugin.kind, plugin.name) == (group, name):
            return f"{plugin.distribution} has {name} among its {group}"
    return None


def _task_owner(name: str) -> str | None:
    from lmx_plugins.task_files import task_files

    for task in task_files():
        if task.name == name:
            return f"{task.plugin.distribution} has a {task.kind} {name} ({task.path})"
    # lm_eval's own index would take seconds; a third of a second finds a name in its 14,000 files.
    spec = importlib.util.find_spec("lm_eval")
    places = list(spec.submodule_search_locations or []) if spec else []
    line = re.compile(rb"""^(task|group): *["']?%s["']? *$""" % name.encode(), re.MULTILINE)
    for place in places:
        for path in Path(place, "tasks").rglob("*.yaml"):
            if line.search(path.read_bytes()):
                return f"lm_eval has a task or group {name} ({path})"
    return None


def _check_folder(folder: Path) -> None:
    if folder.resolve() == Path.cwd():
        raise UserError(f"--path {folder} is the folder you are in: name a folder to make in it, or go out of it first")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name a folder that does not exist yet with --path")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder that does not exist yet with --path")


def _write(kind: str, name: str, folder: Path) -> None:
    """Write the package beside its place and move it there whole, so that nothing is ever half written."""
    target = folder.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        draft.mkdir(parents=True)
        for relative, text in files(kind, name):
            file = draft / relative
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}. Name another folder with --path") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def files(kind: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the files of a new package of one kind: the path in the package's folder, and the text."""
    module = module_name(name)
    renamed = {f"my-{kind}": name, f"my_{kind}": module, _class_name(f"my_{kind}"): _class_name(module)}
    pattern = re.compile("|".join(renamed))

    def rename(text: str) -> str:
        return pattern.sub(lambda match: renamed[match[0]], text)

    for parts, path in _template(kind):
        yield rename("/".join(parts)), rename(path.read_text(encoding="utf-8"))


def _template(kind: str) -> Iterator[tuple[tuple[str, ...], Path]]:
    for path in sorted((TEMPLATES / kind).rglob("*")):
        parts = path.relative_to(TEMPLATES / kind).parts
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            yield parts, path


def _class_name(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))
