"""What a journal must know of a model and of lmx to tell whether a text would come out the same again."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata as metadata
import inspect
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_models.zoo import cache

# Of a model's folder, what makes it write what it writes.
CONTENT = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
LARGE = 64 << 20  # bytes; hashes of larger files are remembered while size and time of change stay
# Arguments of lm_eval's `hf` that change where or how fast a text is made, not the text.
NO_EFFECT = frozenset({"batch_size", "max_batch_size", "parallelize", "device_map_option", "max_memory_per_gpu"}) | {
    *("max_cpu_memory", "offload_folder", "gpus", "self_check", "traces", "device", "use_safetensors", "revision")
}


@functools.cache
def lmx_version() -> str:
    """Return lmx's version; for a version under development with a hash of the code that writes texts."""
    try:
        version = metadata.version("lmx-eval")
    except metadata.PackageNotFoundError:
        version = "0.dev"
    if ".dev" not in version:
        return version
    home = Path(__file__).parents[1]  # the whole package: a room that is added is hashed without a word here
    digest = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
    return f"{version}+{digest.hexdigest()[:12]}"


@functools.cache
def plugin_code(classes: tuple[Any, ...]) -> str | None:
    """Return a hash of the plugins' code beside `classes`, a model's own and its bases; None without plugins."""
    modules = {cls.__module__ for cls in classes}
    own = ("lmx_models.", "lm_eval.", "torch.", "builtins.", "abc.")
    files = [sys.modules[name].__file__ for name in sorted(modules) if not f"{name}.".startswith(own)]
    digest = hashlib.sha256()
    for path in sorted({path for file in files if file for path in Path(file).parent.glob("*.py")}):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest() if any(files) else None


def file_identity(path: str) -> str:
    """Return the hash of a user's file, read again only when it changed; raises `UserError` if it cannot be read."""
    try:
        stat = os.stat(path)
        return _hash_as_of(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


@functools.cache
def _hash_as_of(path: str, _size: int, _modified: int) -> str:
    return sha256(Path(path))


@functools.cache
def model_identity(pretrained: str, revision: str | None, commit: str | None) -> str:
    """Return what stands for a model's weights, configuration and tokenizer.

    Args:
        pretrained: a local folder or a Hub id.
        revision: the commit that was asked for. `commit`: the one that was loaded, where transformers knows it.
    """
    folder = Path(pretrained)
    if not folder.is_dir():
        return f"{pretrained}@{commit or revision or 'main'}"
    digest = hashlib.sha256()
    is_model = (folder / "config.json").is_file()
    found = {path for pattern in CONTENT for path in folder.glob(pattern)} if is_model else set(folder.rglob("*"))
    for path in sorted(path for path in found if path.is_file()):
        large = path.stat().st_size > LARGE
        content = cache.known_sha256(path) if large else sha256(path)
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def arguments_identity(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further arguments that a text depends on; files and folders (an adapter) by their content."""
    return {
        name: _by_content(value)
        for name, value in sorted(arguments.items())
        if name not in NO_EFFECT and value is not None
    }


def own_identity(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for the arguments that only a plugin's class knows.

    Raises:
        UserError: one is an object whose content nobody here can tell.
    """
    for name, value in arguments.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"a journal cannot tell one {name}={type(value).__name__}(...) from another: give a name or a folder, "
                "or declare in the model's class what stands for it (`declared`, `identity`)"
            ) from error
    return arguments_identity(arguments)


def _by_content(value: Any) -> Any:
    if isinstance(value, str) and value:
        path = Path(value)
        try:
            if path.is_dir():
                return model_identity(value, None, None)
            return file_identity(value) if path.is_file() else value
        except (OSError, ValueError):  # too long for a path, or with a null character
            return value
    if isinstance(value, Mapping):
        return {str(name): _by_content(one) for name, one in value.items()}
    return [_by_content(one) for one in value] if isinstance(value, list | tuple) else value


def constructor_arguments(init: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call of `init`, defaults included, by name."""
    signature = inspect.signature(init)
    try:
        bound = signature.bind_partial(None, *args, **kwargs)
    except TypeError:  # the call itself says what is wrong
        return dict(kwargs)
    bound.apply_defaults()
    given: dict[str, Any] = {}
    for parameter in list(signature.parameters.values())[1:]:  # without self
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given |= bound.arguments.get(parameter.name, {})
        elif parameter.name in bound.arguments:
            given[parameter.name] = bound.arguments[parameter.name]
    return given
