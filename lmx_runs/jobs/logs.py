"""What an arm's log says: where the run is, and what went wrong."""

from __future__ import annotations

import re
from pathlib import Path

from lmx_files import opening
from lmx_files.errors import UserError
from lmx_files.safety import secrets, terminal
from lmx_runs.jobs.worker import HEADER

_ERROR = re.compile(r"^(lmx: error: |[\w.]*(Error|Exception|Interrupt)\b)")
_TAIL = 64 * 1024


def last_line(log: Path) -> str:
    """Return the last line of the last attempt that says anything, e.g. a progress bar; empty if there is none."""
    lines = _lines(log, 4096)
    return secrets.redact_text(lines[-1]) if lines else ""


def error_line(log: Path) -> str:
    """Return the line of the last attempt that most likely names its error, else its last one."""
    lines = _lines(log, _TAIL)
    errors = [line for line in lines if _ERROR.match(line)]
    return secrets.redact_text((errors or lines or [""])[-1])


def _lines(log: Path, size: int) -> list[str]:
    """Return the last lines of the last attempt; a carriage return, as in a progress bar, ends a line too."""
    try:
        with opening.open_to_read(log) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            text = file.read().decode(errors="replace")
    except (OSError, UserError):
        return []
    lines = [line.strip() for line in re.split(r"[\r\n]+", terminal.without_sequences(text))]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith(HEADER):
            lines = lines[index + 1 :]
            break
    return [line for line in lines if line]
