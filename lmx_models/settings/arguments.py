"""From lm_eval's loose arguments to frozen configs; what nobody knows is refused with the nearest name."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from lmx_files.errors import UserError, unknown
from lmx_files.values import is_none, read_bool, read_float, read_int, read_text, shown

_BATCH = re.compile(r"None|[1-9][0-9]{0,8}|auto(:[1-9][0-9]{0,3})?")
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


def read_as_declared(init: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of lm_eval's ``hf``, truth values and numbers among them read by the types that it declares.

    It takes what a command line gives as it is, where ``parallelize=no`` is true and ``max_length=ten`` a traceback.

    Args:
        init: the constructor. `given`: arguments; those that it does not name come back as they are.

    Raises:
        UserError: a value is of the wrong type.
    """
    read = dict(given)
    declared = inspect.signature(init).parameters
    for name, value in given.items():
        kinds = str(declared[name].annotation).split(" | ") if name in declared else []
        if is_none(value) and "None" in kinds:
            read[name] = None
        elif kinds[:1] == ["bool"] and "str" not in kinds:
            read[name] = read_bool(name, value)
        elif kinds[:1] == ["int"] and "str" not in kinds:
            read[name] = read_int(name, value, least=0 if name == "prefix_token_id" else 1)
    if not _BATCH.fullmatch(str(read.get("batch_size", 1))):
        raise UserError(f"batch_size={shown(given['batch_size'])} is neither a whole number of at least 1 nor auto")
    for name in ("dtype", "softmax_dtype"):
        value = read.get(name)
        if isinstance(value, str) and value != "auto" and not isinstance(getattr(torch, value, None), torch.dtype):
            raise unknown(name, value, ("auto", "float32", "bfloat16", "float16", "float64"))
    return read


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
