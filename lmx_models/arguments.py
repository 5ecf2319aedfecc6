"""From lm_eval's loose arguments to frozen configs; what nobody knows is refused with the nearest name."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lmx_files.values import is_none, read_bool, read_float, read_int, read_text, shown
from lmx_plugins.errors import UserError, unknown

READERS: dict[Any, Callable[[str, Any], Any]] = {bool: read_bool, int: read_int, float: read_float, str: read_text}


def fields_of(*configs: type) -> dict[str, Any]:
    """Return the names of all fields of some dataclasses, with their types."""
    hints: dict[str, Any] = {}
    for config in configs:
        types_ = typing.get_type_hints(config)
        hints |= {field.name: types_[field.name] for field in dataclasses.fields(config)}
    return hints


def refuse_unknown(given: Iterable[str], valid: Iterable[str], kind: str = "argument", hint: str = "") -> None:
    """Raise a `UserError` for the first name in `given` that is not in `valid`."""
    valid = list(valid)
    for name in given:
        if name not in valid:
            raise unknown(kind, name, valid, hint)


def build(config: type, values: Mapping[str, Any]) -> Any:
    """Make a config from the values that it knows, converted to its field types; other values are not looked at.

    lm_eval parses ``k=inf`` as the string ``"inf"`` and ``c=20`` as an int, so numbers are taken in any spelling.
    """
    hints = fields_of(config)
    return config(**{name: _convert(name, values[name], hints[name]) for name in hints if name in values})


def _convert(name: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [option for option in options if option is not types.NoneType]
    if is_none(value):
        if types.NoneType in options:
            return None
        raise UserError(f"{name}=None: a {_plain(kinds)} is needed")
    for kind in kinds:
        try:
            return READERS[kind](name, value)
        except UserError:
            if len(kinds) == 1:
                raise
    raise UserError(f"{name}={shown(value)} is not a {_plain(kinds)}")


def _plain(kinds: Iterable[Any]) -> str:
    words = {int: "whole number", float: "number", bool: "true/false value", str: "text"}
    return " or ".join(words[kind] for kind in kinds)
