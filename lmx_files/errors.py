"""Errors that are the user's to mend: printed as one line, without a traceback.

Nothing heavy may be imported here: every other package raises these.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

LONGEST_LIST = 160  # characters


class UserError(Exception):
    """A mistake in the user's input. The message names the value, the alternatives and the mend."""


def unknown(kind: str, value: str, valid: Iterable[str], hint: str = "") -> UserError:
    """Return a `UserError` for a name that is not among `valid`, with the nearest valid ones.

    A list that does not fit a line is not printed: the nearest three are, and `hint` should say where the whole list
    is. Without a hint it is printed where the environment has ``LMX_VALID=all``.

    >>> str(unknown("policy", "entropi", ["entropy", "ramp"]))
    "unknown policy 'entropi': did you mean 'entropy'? Valid: entropy, ramp"
    >>> str(unknown("task", "task_77x", [f"task_{i}" for i in range(99)], "See: lmx ls tasks"))
    "unknown task 'task_77x': did you mean 'task_77', 'task_7' or 'task_97'? See: lmx ls tasks"
    """
    names = sorted(set(map(str, valid)))
    listed = ", ".join(names)
    fits = len(listed) <= LONGEST_LIST or os.environ.get("LMX_VALID") == "all"
    near = difflib.get_close_matches(str(value), names, n=1 if fits else 3, cutoff=0.5)
    ask = f": did you mean {_either(near)}?" if near else "."
    if fits:
        rest = f" Valid: {listed}" + (f". {hint}" if hint else "")
    else:
        rest = f" {hint}" if hint else f" {len(names)} are valid; with LMX_VALID=all in the environment they are listed"
    return UserError(f"unknown {kind} {_short(value)}{ask}{rest}")


def few(names: Iterable[object], most: int = 5) -> str:
    """Return the first names of a list, and how many more there are.

    >>> few(["a", "b", "c"], most=2)
    'a, b (and 1 more)'
    """
    shown = list(map(str, names))
    more = len(shown) - most
    return ", ".join(map(_cut, shown[:most])) + (f" (and {more} more)" if more > 0 else "")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LIST else f"{text[:LONGEST_LIST]}..."


def _short(value: str) -> str:
    return _cut(repr(value))


def _either(names: list[str]) -> str:
    *most, last = map(repr, names)
    return f"{', '.join(most)} or {last}" if most else last
