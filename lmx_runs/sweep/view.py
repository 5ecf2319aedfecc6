"""What a user sees while a sweep runs: a live table in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lmx_files.safety import terminal
from lmx_runs.jobs import logs
from lmx_runs.jobs.executors import Report
from lmx_runs.jobs.worker import LOG
from lmx_runs.sweep.arms import Arm
from lmx_runs.sweep.state import ArmState

_STYLES = {"done": "green", "failed": "bold red", "skipped": "yellow", "interrupted": "yellow", "running": "cyan"}
# What matters most comes first when the terminal is too low for all arms.
_FIRST = ("running", "queued", "failed", "interrupted", "skipped", "pending", "done")
# Seconds between two readings of the logs.
_REFRESH = 1.0


class View:
    """Shows arms; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or terminal.console(stderr=True, highlight=False)
        live = self.console.is_terminal
        self._live = Live(console=self.console, auto_refresh=False, transient=True) if live else None
        self._shown = datetime.datetime.min

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line, above the table if there is one."""
        self.console.print(Text(f"{datetime.datetime.now():%H:%M:%S} {line}"), soft_wrap=True)

    def changed(self, name: str, state: ArmState, log: Path) -> None:
        """Tell that an arm has come to another state."""
        took = "" if state.seconds is None else f" after {duration(state.seconds)}"
        if state.status == "running":
            self.say(f"{name}: attempt {state.attempts}, log in {log}")
        elif state.status in ("failed", "skipped"):
            self.say(f"{name}: {state.status}{took if state.status == 'failed' else ''}: {state.reason}")
        elif state.status != "pending":
            self.say(f"{name}: {state.status}{took}")

    def update(self, arms: Iterable[Arm], states: Mapping[str, ArmState], reports: Mapping[str, Report]) -> None:
        """Draw the table anew; in a pipe nothing happens."""
        now = datetime.datetime.now()
        if self._live is None or (now - self._shown).total_seconds() < _REFRESH:
            return
        self._shown = now
        rows = [(arm, states[arm.name], _label(states[arm.name], reports.get(arm.name))) for arm in arms]
        rows.sort(key=lambda row: _FIRST.index(row[2]))
        room = max(3, self.console.height - 4)
        table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
        for column in ("arm", "state", "time"):
            table.add_column(column, no_wrap=True)
        table.add_column("last line of its log", no_wrap=True, overflow="ellipsis", ratio=1)
        for arm, state, label in rows[:room]:
            line = state.reason or (logs.last_line(arm.folder / LOG) if state.status == "running" else "")
            style = _STYLES.get(state.status, "")
            table.add_row(Text(arm.name), Text(label, style), _elapsed(state), Text(line))
        if rows[room:]:
            table.add_row(f"... and {len(rows) - room} more")
        self._live.update(table, refresh=True)


def _label(state: ArmState, report: Report | None) -> str:
    return "queued" if report is not None and report.state == "waiting" else state.status


def _elapsed(state: ArmState) -> str:
    if state.seconds is not None:
        return duration(state.seconds)
    if state.status != "running" or state.started is None:
        return ""
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(state.started)
    return duration(max(0.0, since.total_seconds()))


def duration(seconds: float) -> str:
    """Return a time for people.

    >>> duration(3.21), duration(75), duration(7300)
    ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min {int(seconds) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
