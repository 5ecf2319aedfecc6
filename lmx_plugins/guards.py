"""Turns a user's mistake under plain `lm_eval` into one line and a failing exit status.

Three things that lm_eval leaves out: an uncaught `UserError` prints one line without a traceback; a results
folder that cannot be written is found before the model is loaded; a failed save, which lm_eval only logs,
makes the command fail.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from lmx_files.errors import UserError
from lmx_files.safety import secrets, terminal
from lmx_plugins import discovery, threads

logger = logging.getLogger(__name__)

# What could not be saved by this process, told at the end so that the results table is still printed first.
lost: list[str] = []


def error_line(error: BaseException) -> str:
    """Return the one line a user sees of an error."""
    return f"lmx: error: {terminal.one_line(error)}"


def wants_traceback() -> bool:
    """Whether LMX_TRACEBACK asks for the whole story of an error."""
    return os.environ.get("LMX_TRACEBACK", "0") not in ("", "0")


def prepare(module: ModuleType) -> None:
    """Runs after `lm_eval` itself, before anything heavy: threads are set up, and errors get their one line."""
    threads.prepare()
    install_excepthook(module)


def install_excepthook(module: ModuleType | None = None) -> None:
    """Print an uncaught `UserError` as one line; every other error goes to the hook that was there."""
    previous = sys.excepthook
    if getattr(previous, "lmx", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, UserError) and not wants_traceback():
            print(error_line(error), file=sys.stderr)
            return
        told = "".join(traceback.format_exception(kind, error, trace))
        clean = secrets.redact_text(terminal.plain(told))
        if clean == told or previous is not sys.__excepthook__:
            previous(kind, error, trace)
        else:
            sys.stderr.write(clean)

    hook.lmx = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def guard_output_path(module: ModuleType) -> None:
    """Check the results folder early and the saved files late; runs after lm_eval's tracker module."""
    tracker = module.EvaluationTracker
    tracker.__init__ = _checking_output(tracker.__init__)
    tracker.save_results_aggregated = _checking_saved(tracker.save_results_aggregated, _is_json, "results")
    tracker.save_results_samples = _checking_saved(tracker.save_results_samples, _is_jsonl, "samples")
    if config_tracker := getattr(module, "GeneralConfigTracker", None):
        config_tracker.log_experiment_args = _naming_nameless(config_tracker.log_experiment_args)


def fail_on_lost_results(module: ModuleType) -> None:
    """Make the `lm_eval` command fail when something was not saved; runs after lm_eval's command line."""
    terminal.tolerant_output()  # lm_eval's own table holds arrows
    command = module.HarnessCLI
    command.execute = _failing_when_lost(command.execute)


def check_output_path(output_path: str | Path, option: str = "--output_path") -> None:
    """Raise a `UserError` unless results can be written to `output_path`, a folder or a `.json` file.

    `option` is what the path was given with.

    Writing is tried out in the nearest folder that exists, for neither permission bits nor `os.access` tell
    the truth about a superuser, a read-only file system or /proc.
    """
    path = Path(output_path)
    folder = path.parent if path.suffix == ".json" else path
    nearest = folder.absolute()
    try:
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is a file, not a folder")
        os.rmdir(tempfile.mkdtemp(prefix=".lmx-can-write-", dir=nearest))
    except OSError as error:
        reason = error.strerror or str(error)
        where = "" if str(nearest) in reason else f" in {nearest}"
        raise UserError(
            f"results cannot be written to {option.removeprefix('--')} {str(output_path)!r}: {reason}{where}. "
            f"Give {option} a folder that you may write to"
        ) from error


def _checking_output(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, output_path: str | None = None, *args: Any, **kwargs: Any) -> None:
        if output_path:
            check_output_path(output_path)
        original(self, output_path, *args, **kwargs)

    return init


def _checking_saved(
    original: Callable[..., None], whole: Callable[[Path, Any], bool], what: str
) -> Callable[..., None]:
    @functools.wraps(original)
    def save(self: Any, *args: Any, **kwargs: Any) -> None:
        output_path = getattr(self, "output_path", None)
        if not output_path:
            original(self, *args, **kwargs)
            return
        before = _files(Path(output_path))
        original(self, *args, **kwargs)
        fresh = _files(Path(output_path)) - before
        samples = kwargs.get("samples", args[1] if len(args) > 1 else None)
        if not any(whole(path, samples) for path, _ in fresh):
            task = kwargs.get("task_name", args[0] if args else "") if what == "samples" else ""
            lost.append(f"the {what}{f' of {task}' if task else ''}")
            logger.error("lmx: %s could not be saved under %s", lost[-1], output_path)

    return save


def _naming_nameless(original: Callable[..., None]) -> Callable[..., None]:
    """Name the results folder after a plugin's model that needs no `pretrained=`; lm_eval takes a random name."""

    @functools.wraps(original)
    def log(self: Any, model_source: str, model_args: Any, *args: Any, **kwargs: Any) -> None:
        original(self, model_source, model_args, *args, **kwargs)
        plugins = {plugin.name for plugin in discovery.plugins_of("models")}
        if model_source in plugins and not self._get_model_name(model_args):
            self.model_name = self.model_name_sanitized = model_source

    return log


def _files(output_path: Path) -> set[tuple[Path, int]]:
    """Return the result files under an output path, where lm_eval puts them, with their sizes."""
    root = output_path.parent if output_path.suffix == ".json" else output_path
    paths = [path for pattern in ("*.json*", "*/*.json*") for path in root.glob(pattern)]
    return {(path, path.stat().st_size) for path in paths if path.is_file()}


def _is_json(path: Path, _samples: Any) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _is_jsonl(path: Path, samples: Any) -> bool:
    from lmx_files import jsonl

    try:
        return jsonl.count(path) >= len(samples)  # reads every line: the last one may be cut off
    except (UserError, TypeError):
        return False


def _failing_when_lost(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        terminal.filter_logging()
        outcome = original(self, *args, **kwargs)
        if lost:
            what = " and ".join(lost)
            raise UserError(f"the run ended, but {what} could not be saved; lm_eval's warning above says why")
        return outcome

    return execute
