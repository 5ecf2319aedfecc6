"""Small YAML files that a user may keep for lmx: named by an environment variable, or in the user's configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import platformdirs

from lmx_files.errors import UserError
from lmx_files.yaml import read_yaml


def read_user_file(name: str, variable: str) -> tuple[dict[str, Any], Path]:
    """Return the mapping in the user's file, and its path.

    Args:
        name: of the file in the user's configuration (``~/.config/lmx`` on Linux); it need not exist.
        variable: an environment variable that names another file, which must exist.

    Raises:
        UserError: the file cannot be read or holds no mapping.
    """
    given = os.environ.get(variable)
    path = Path(given).expanduser() if given else platformdirs.user_config_path("lmx") / name
    if not given and not path.exists():
        return {}, path
    return read_mapping(path, variable), path


def read_mapping(path: Path, variable: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; see `read_user_file`."""
    values = read_yaml(path, f"{path} ({variable})")
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(entry, dict) for entry in values.values()):
        raise UserError(f"{path} ({variable}): write one `NAME: {{key: value}}` a line")
    return {str(key): value for key, value in values.items()}
