"""One strict reader for YAML: nothing is run, and a key that stands twice is an error instead of a silent choice."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from lmx_files.errors import UserError


class StrictLoader(yaml.SafeLoader):
    """Plain data only. YAML's usual readers let a second key of the same name replace the first without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping, each of whose keys stands once (those of a ``<<`` merge may be replaced, as YAML says)."""
        if isinstance(node, yaml.MappingNode):
            lines: dict[Any, int] = {}
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":
                    continue
                key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
                if isinstance(key, Hashable) and key in lines:
                    raise UserError(f"line {line}: {key!r} stands there twice, first in line {lines[key]}: keep one")
                if isinstance(key, Hashable):
                    lines[key] = line
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Return the data of a YAML text.

    Raises:
        UserError: it is no YAML, or a key stands twice; the line is named.
    """
    try:
        return yaml.load(text, Loader=StrictLoader)
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"it is not valid YAML: {' '.join(str(error).split())}") from error


def read_yaml(path: str | Path, what: str | None = None) -> Any:
    """Return the data of a YAML file.

    Args:
        what: how a message names the file (``--config run.yaml``); None: by its path.

    Raises:
        UserError: the file cannot be read, is no YAML, or a key stands twice.
    """
    what = what or str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {what}: {error}") from error
    try:
        return load_yaml(text)
    except UserError as error:
        raise UserError(f"cannot read {what}: {error}") from error
