"""Folders that hold a model, looked at before anything is loaded: what is wrong with one, and the mend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ADAPTER = "holds a PEFT adapter beside a model, whose base transformers would load in its place"
OTHER_MODEL = "Name a model of a class that transformers has"
_CODE = "brings code of its own (auto_map), which is not run"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def problem(folder: Path) -> str:
    """Return why no model can be loaded from `folder`; empty when config and safetensors are complete."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "has no config.json"
    except (OSError, ValueError, RecursionError) as error:
        return f"has a config.json that cannot be read ({error})"
    if not isinstance(config, dict):
        return "has a config.json that is not an object"
    if found := foreign_code(folder, config):
        return found
    if (folder / "adapter_config.json").exists():
        return ADAPTER
    weights = config.get("transformers_weights")
    if weights is not None and not str(weights).endswith((".safetensors", ".safetensors.index.json")):
        return f"names weights that are no safetensors in its config.json ({str(weights)[:60]!r})"
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return ""
    if not index.is_file():
        return no_safetensors(path.name for path in folder.iterdir())
    try:
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return f"has a damaged {index.name}"
    if foreign := [part for part in parts if not _is_shard(part)]:
        return f"names {str(foreign[0])[:60]!r} in {index.name}, which is no safetensors file of this folder"
    absent = [part for part in parts if not (folder / part).is_file()]
    return f"lacks {len(absent)} of {len(parts)} weight files, first {absent[0]!r}" if absent else ""


def foreign_code(folder: Path, config: dict[str, Any] | None = None) -> str:
    """Return what of a model's code comes from its repository, where transformers has none; empty for nothing.

    Many published models name code that transformers has had since: they are loaded by its own classes.
    """
    config = _json(folder / "config.json") if config is None else config
    for field, value in _implementations(config):
        if "/" in value:
            return f"names a repository of code in its config.json ({field}: {value[:60]!r}), which is not run"
    tokenizer = _json(folder / "tokenizer_config.json")
    if not config.get("auto_map") and not tokenizer.get("auto_map"):
        return ""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    from lmx_models.zoo.family_table import family_of

    kind = config.get("model_type")
    if config and family_of(config) is not None:
        return ""
    if config.get("auto_map") and (not isinstance(kind, str) or kind not in CONFIG_MAPPING):
        return f"{_CODE}, and transformers does not know its model_type {str(kind)[:40]!r}"
    name = str(tokenizer.get("tokenizer_class"))
    if tokenizer.get("auto_map") and all(tokenizer_class_from_name(n) is None for n in (name, f"{name}Fast")):
        return f"{_CODE}, and transformers does not know its tokenizer {name[:40]!r}"
    return ""


def _implementations(config: Any, field: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the settings that name an implementation (of attention, of experts), of the model and of its parts."""
    if isinstance(config, dict) and depth < 20:
        for key, value in config.items():
            yield from _implementations(value, key if "implementation" in key else field, depth + 1)
    elif field:
        yield field, str(config)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_shard(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name


def no_safetensors(names: Iterable[str]) -> str:
    """Say what is wrong with a model that has no safetensors, given the names of its files."""
    if any(name.endswith(PICKLES) for name in names):
        return "has only pickled weights (they can run code when opened): convert them to safetensors"
    return "has no model.safetensors"


def mend(folder: Path) -> str:
    """Say what to name instead of a folder that holds no model."""
    if foreign_code(folder):
        return OTHER_MODEL[0].lower() + OTHER_MODEL[1:]
    if (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        return "merge the adapter into the model (merge_and_unload) and save that, or name it with peft="
    if (folder / "adapter_config.json").is_file():
        return "this is a PEFT adapter; merge it into its base model and save that"
    files = sorted(folder.glob("*.gguf"))
    if files:
        return f"name the GGUF file: {files[0].name!r} in that folder"
    inner = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if inner:
        return f"name one of the models in it: {', '.join(inner[:5])}"
    return "give a folder written by save_pretrained, with config.json and safetensors"


def neighbours(folder: Path, pattern: str) -> str:
    """Say which files of a kind lie in a folder, or that there is no such folder."""
    if not folder.is_dir():
        return ": no such folder"
    names = sorted(path.name for path in folder.glob(pattern))
    return f". In that folder: {', '.join(names[:5])}" if names else f": no {pattern} in that folder"
