"""Pairs of a command line such as ``--gen_kwargs temperature=0.7,top_p=0.9``: a name that stands there twice.

lm_eval takes the last of two in one flag and says nothing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from lmx_files.errors import UserError

_OPEN, _CLOSE = "([{", ")]}"
_doubled: list[str] = []


def watch_arguments(module: ModuleType) -> None:
    """Note names given twice in one flag; runs after lm_eval's module of its flags."""
    action = module.MergeDictAction
    action.__call__ = _noting(action.__call__)


def refuse_doubled() -> None:
    """Raise a `UserError` for a name that was given twice in one flag since this was last asked."""
    noted, _doubled[:] = list(_doubled), []
    if noted:
        raise UserError(noted[0])


def forget() -> None:
    """Forget what was noted: lm_eval's own models take what they are given."""
    _doubled.clear()


def doubled(values: str | Sequence[Any]) -> str | None:
    """Return a name that stands twice in what one flag was given: JSON, or pairs with commas; else None."""
    given = [values] if isinstance(values, str) else [str(value) for value in values]
    names: list[str] = []
    try:
        json.loads(given[0], object_pairs_hook=lambda pairs: names.extend(_first_twice(n for n, _ in pairs)))
        return names[0] if names else None
    except (ValueError, IndexError, RecursionError):
        pairs = [part for value in given for part in parts(value)]
    return next(_first_twice(name.strip() for name, equals, _ in (p.partition("=") for p in pairs) if equals), None)


def parts(text: str) -> Iterator[str]:
    """Yield the pairs of ``a=1,b=[2,3]``: commas within brackets and quotes part nothing."""
    begin, depth, quote = 0, 0, ""
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        elif character == "," and depth <= 0:
            yield text[begin:i]
            begin = i + 1
    yield text[begin:]


def _first_twice(names: Any) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield str(name)
        seen.add(name)


def _noting(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def call(self: Any, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if values and (name := doubled(values)) is not None:
            flag = option_string or f"--{self.dest}"
            _doubled.append(f"{flag}: {name!r} is given twice, and only the last would count: keep one")
        original(self, parser, namespace, values, option_string)

    return call
