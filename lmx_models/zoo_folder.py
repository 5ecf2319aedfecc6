"""Folders that hold a model, looked at before anything is loaded: what is wrong with one, and the mend."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def problem(folder: Path) -> str:
    """Return why no model can be loaded from `folder`; empty when config and safetensors are complete."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "has no config.json"
    except (OSError, ValueError) as error:
        return f"has a config.json that cannot be read ({error})"
    if not isinstance(config, dict):
        return "has a config.json that is not an object"
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return ""
    if not index.is_file():
        return no_safetensors(path.name for path in folder.iterdir())
    try:
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"has a damaged {index.name}"
    absent = [part for part in parts if not (folder / part).is_file()]
    return f"lacks {len(absent)} of {len(parts)} weight files, first {absent[0]!r}" if absent else ""


def no_safetensors(names: Iterable[str]) -> str:
    """Say what is wrong with a model that has no safetensors, given the names of its files."""
    if any(name.endswith(PICKLES) for name in names):
        return "has only pickled weights (they can run code when opened): convert them to safetensors"
    return "has no model.safetensors"


def mend(folder: Path) -> str:
    """Say what to name instead of a folder that holds no model."""
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
