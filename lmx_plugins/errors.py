"""Errors that are the user's to mend: printed as one line, without a traceback.

Nothing heavy may be imported here: every other package raises these.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's input. The message names the value, the alternatives and the mend."""


def unknown(kind: str, value: str, valid: Iterable[str], hint: str = "") -> UserError:
    """Return a `UserError` for a name that is not among `valid`, with the nearest valid one.

    >>> str(unknown("policy", "entropi", ["entropy", "ramp"]))
    "unknown policy 'entropi': did you mean 'entropy'? Valid: entropy, ramp"
    """
    names = sorted(valid)
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    ask = f": did you mean {near[0]!r}?" if near else "."
    return UserError(f"unknown {kind} {value!r}{ask} Valid: {', '.join(names)}" + (f". {hint}" if hint else ""))
