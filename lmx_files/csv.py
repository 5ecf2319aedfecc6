"""CSV that a spreadsheet shows as it is: no text in it is taken for a formula."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

# What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection"), also in full width and after blanks.
_FORMULA = re.compile(r"[\s\x00-\x1f\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|infinity|nan)", re.IGNORECASE)


def cell(value: Any) -> Any:
    """Return a value for a cell: a text that a spreadsheet would compute gets an apostrophe before it.

    Numbers stay numbers, also those written as text; None and what is not finite are empty.

    >>> cell("=1+1"), cell("-0.5"), cell(-0.5)
    ("'=1+1", '-0.5', -0.5)
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return text.replace("\r\n", "\n").replace("\r", "\n")  # the csv module leaves a bare CR unquoted


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, with the keys of all of them as columns; what a row lacks is an empty cell."""
    out = io.StringIO()
    if rows:
        writer = csv.writer(out, lineterminator="\n")
        names = list(dict.fromkeys(key for row in rows for key in row))
        writer.writerow([cell(name) for name in names])
        writer.writerows([cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()
