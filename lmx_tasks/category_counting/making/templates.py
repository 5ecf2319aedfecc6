"""How a counting question is written: where the question stands, and how the list is set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lmx_files.errors import unknown
from lmx_files.hashing import sha256_of_text

POSITIONS = ("before", "after")
"""Where the question stands: before the list (a causal model can count as it reads) or after it."""


def _comma(words: Sequence[str]) -> str:
    return f"Words: {', '.join(words)}\n"


def _lines(words: Sequence[str]) -> str:
    return "Words:\n" + "".join(f"{word}\n" for word in words)


def _bullets(words: Sequence[str]) -> str:
    return "Words:\n" + "".join(f"- {word}\n" for word in words)


def _numbered(words: Sequence[str]) -> str:
    return "Words:\n" + "".join(f"{number}. {word}\n" for number, word in enumerate(words, 1))


def _semicolon(words: Sequence[str]) -> str:
    return f"Words: {'; '.join(words)}\n"


FORMATS: dict[str, Callable[[Sequence[str]], str]] = {
    "comma": _comma,
    "lines": _lines,
    "bullets": _bullets,
    "numbered": _numbered,
    "semicolon": _semicolon,
}
DEFAULT_FORMAT = "comma"


def render(plural: str, words: Iterable[str], position: str = "before", format: str = DEFAULT_FORMAT) -> str:
    """Return the prompt text. It ends with a newline, so a raw continuation starts on its own line.

    Raises:
        ValueError: no such position. UserError: no such format.
    """
    if position not in POSITIONS:
        raise ValueError(f"position {position!r} is not one of {', '.join(POSITIONS)}")
    if format not in FORMATS:
        raise unknown("list format", format, FORMATS)
    question = f"How many of these words are {plural}?\n"
    listing = FORMATS[format](list(words))
    return question + listing if position == "before" else listing + question


def template_id(position: str, format: str) -> str:
    """Return a template's name and hash, e.g. ``before-comma-1a2b3c4d``: it changes with any character of the text."""
    text = render("{plural}", ["{word}", "{word}", "{word}"], position, format)
    return f"{position}-{format}-{sha256_of_text(text)[:8]}"
