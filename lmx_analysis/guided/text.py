"""Show who wrote what: the texts of a traces file, coloured by source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from lmx_files import jsonl
from lmx_files.errors import UserError

COLOURS = {"base": "red", "oracle": "blue", "ar": "default"}


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a traces file.

    Raises:
        UserError: the file cannot be read, or a line is damaged (it names the line).
    """
    for number, record in jsonl.numbered(path, "a traces file", last="skip"):
        try:
            record["pieces"] = [(str(source), str(piece)) for source, piece in record["pieces"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a line of a traces file ({error!r})") from error
        yield record


def coloured(record: dict[str, Any]) -> Text:
    """Return one text with each piece in the colour of its source: base red, oracle blue."""
    text = Text()
    for source, piece in record["pieces"]:
        text.append(piece, style=COLOURS.get(source, "magenta"))
    return text
