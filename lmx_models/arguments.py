"""From lm_eval's loose arguments to frozen configs; what nobody knows is refused with the nearest name."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from lmx_plugins.errors import UserError, unknown


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
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        if types.NoneType in options:
            return None
        raise UserError(f"{name}=None: a {_plain(options)} is needed")
    for option in options:
        try:
            if option is bool:
                if str(value).lower() in ("true", "false"):
                    return str(value).lower() == "true"
            elif option is int:
                if float(value) == int(float(value)):
                    return int(float(value))
            elif option is float:
                number = float(value)
                if number == number:  # not NaN
                    return number
            elif option is str:
                return str(value)
        except (TypeError, ValueError, OverflowError):
            continue
    raise UserError(f"{name}={value!r} is not a {_plain(options)}")


def _plain(options: Iterable[Any]) -> str:
    words = {int: "whole number", float: "number", bool: "true/false value", str: "text"}
    return " or ".join(words[option] for option in options if option in words)
