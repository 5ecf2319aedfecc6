"""The one filter between foreign text and a terminal: names of tasks, servers' messages, logs and error texts.

It is applied where something is printed, so that files keep what was said.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lmx_files.safety import secrets

if TYPE_CHECKING:
    from rich.console import Console

# ECMA-48: CSI sequences, and strings (OSC, DCS, SOS, PM, APC) up to BEL or ST, in their 7- and 8-bit forms. An
# unfinished one loses its introducer only, below.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]+[0-~]"
)
# C0 but tab and line feed, DEL, C1; marks, embeddings, overrides and isolates of direction; line and paragraph
# separators; interlinear and tag characters, which are invisible; lone surrogates, which no encoding takes.
_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f"
    r"\ud800-\udfff]"
)
_SHOWN = "\ufffd"
# Characters of a message; a value of somebody else's may be of any length.
_LONGEST = 2000


def plain(text: str) -> str:
    """Return text without anything that steers a terminal; what is left out shows as U+FFFD, CR LF as a line end.

    >>> plain("a\\x1b[2Jb\\u202ec")
    'a\\ufffdb\\ufffdc'
    """
    if text.isascii() and text.isprintable():
        return text
    return visible(_SEQUENCE.sub(_SHOWN, text.replace("\r\n", "\n")))


def visible(text: str) -> str:
    """Return text with U+FFFD for each character that may steer a terminal: for text that comes in pieces."""
    return _STEERING.sub(_SHOWN, text)


def without_sequences(text: str) -> str:
    """Return text without control sequences, of which a progress bar makes many."""
    return _SEQUENCE.sub("", text)


def one_line(text: object) -> str:
    """Return a message as one line for a terminal: no control sequences, and no secret that shows by its shape."""
    line = secrets.redact_text(plain(" ".join(str(text).split())))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def json_plain(text: str) -> str:
    """Return JSON of the same value in which what steers a terminal is written as ``\\uXXXX``."""
    return "".join(_escaped(character) for character in text) if _STEERING.search(text) else text


def _escaped(character: str) -> str:
    if not _STEERING.match(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def say(*words: object, error: bool = False) -> None:
    """Print words as a line of their own, on standard error if `error`."""
    print(plain(" ".join(map(str, words))), file=sys.stderr if error else sys.stdout, flush=error)


def say_json(text: str) -> None:
    """Print JSON, which stays the same value."""
    print(json_plain(text), end="" if text.endswith("\n") else "\n")


def console(**options: Any) -> Console:
    """Return a rich console, made with `options`, that filters whatever it is given to show."""
    from rich.console import Console
    from rich.segment import Segment

    class Filtered(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                clean = segment.text if segment.control else plain(segment.text)
                yield segment if clean is segment.text else Segment(clean, segment.style, segment.control)

    return Filtered(**options)


def tolerant_output() -> None:
    """Let standard output and error show a question mark for what their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


class _PlainRecord(logging.LogRecord):
    """A record whose message, for whatever handler, steers no terminal and holds no secret that shows."""

    def getMessage(self) -> str:  # noqa: N802
        return secrets.redact_text(plain(super().getMessage()))


def filter_logging() -> None:
    """Clean the messages of all loggers and handlers, present and to come: lm_eval's and transformers' have their own.

    For a process whose command line is ours or lm_eval's; a program that imports lmx keeps its logging.
    """
    logging.setLogRecordFactory(_PlainRecord)
