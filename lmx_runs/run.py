"""`lmx run`: lm_eval's own run, with a journal, traces, a manifest, and files that are checked to be there."""

from __future__ import annotations

import datetime
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmx_files import manifest
from lmx_files.errors import UserError
from lmx_files.runs.folders import read_results
from lmx_files.safety import terminal
from lmx_plugins import discovery, guards
from lmx_runs import fast_start, hub, outputs, preflight
from lmx_runs.options import Options, parse

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Run one evaluation and return the exit status.

    Raises:
        UserError: anything that the user can mend; what was finished is then in the journal.
    """
    started, clock = datetime.datetime.now().astimezone().isoformat(timespec="seconds"), time.monotonic()
    without_hub = hub.look_up()
    options = parse(arguments)
    guards.check_output_path(options.output_path)
    preflight.check_model(options.model)
    preflight.check_tasks(options.tasks, options.include_path)
    _tell_of_models_without_journal(options)
    fast_start.skip_built_in_tasks(options.tasks, options.include_path)
    root = outputs.root(options.output_path)
    before = outputs.results_files(root)
    without_hub()
    with _journal(options) as traces, _interruptible(options):
        _execute(options)
        if _rank():
            return 0  # rank 0 writes the files
        found = sorted(outputs.results_files(root) - before)
        if not found:
            raise UserError(f"the run ended, but left no results file in {root}; lm_eval's messages above say why")
        results_file = found[-1]
        results = read_results(results_file)
        samples = outputs.check_samples(results_file, results)
        stamp = outputs.stamp(results_file)
        kept = outputs.keep_traces(traces, results_file.parent, stamp)
        outputs.check_traces(kept)
    paths = [results_file, *samples, *kept]
    files = {
        "results": results_file.name,
        "samples": [path.name for path in samples],
        "traces": [path.name for path in kept],
        "sha256": manifest.with_hashes(paths),
    }
    manifest_file = results_file.parent / f"manifest_{stamp}.json"
    manifest.write(manifest_file, manifest.describe(arguments, results, files, started, time.monotonic() - clock))
    _say_where(manifest_file, paths, results)
    return 0


def _execute(options: Options) -> None:
    """Run lm_eval's own command."""
    from lm_eval._cli.run import Run
    from lm_eval.utils import setup_logging

    setup_logging()
    terminal.filter_logging()
    try:
        Run._execute(options.lm_eval)
    except Exception as error:
        told = None if guards.wants_traceback() or isinstance(error, UserError) else _mistake(error, options)
        if told is None:
            raise
        raise UserError(told) from error
    if guards.lost:
        raise UserError(f"the run ended, but {' and '.join(guards.lost)} could not be saved; see lm_eval's warning")


def _mistake(error: Exception, options: Options) -> str | None:
    """Return in words what a user can mend of an error of lm_eval or of a library below it; None for a fault."""
    said, innermost = " ".join(str(error).split())[:300].rstrip("."), Path(_files(error)[-1])
    if _raised_in(error, "datasets") and (isinstance(error, OSError) or _raised_in(error, "huggingface_hub")):
        return (
            f"a task's data set cannot be had: {said}. Where the Hub is not reached, run once where it is and take "
            "HF_HOME along (with HF_HUB_OFFLINE=1), or name a local folder if the task takes one: --metadata "
            '\'{"data_dir": "DIR"}\''
        )
    if _raised_in(error, "transformers") and isinstance(error, OSError):
        return f"the model cannot be loaded: {said}"
    if isinstance(error, ImportError) and _raised_in(error, "lm_eval"):
        return (
            f"--model {options.model}, or a task, needs a package that is not here: {said}. lm_eval's README says "
            "which extra brings it: pip install 'lm_eval[EXTRA]'"
        )
    if isinstance(error, TypeError) and innermost.parts[-3:] == ("lm_eval", "api", "model.py"):
        return f"--model {options.model} cannot be made from its --model_args: {said}"
    # lm_eval's way to refuse a task, a config or an argument, before anything has run.
    refuses = isinstance(error, (ValueError, FileNotFoundError, TypeError, KeyError))
    # 0.5 refuses an unknown task where it loads tasks.
    reads = innermost.name == "evaluate_config.py" or innermost.parts[-2:] == ("tasks", "manager.py")
    return said if refuses and reads else None


def _raised_in(error: BaseException, *packages: str) -> bool:
    """Whether code of one of `packages` was running when this was raised."""
    return any(package in Path(file).parts for file in _files(error) for package in packages)


def _files(error: BaseException) -> list[str]:
    """Return the files of the functions that were running, the innermost last."""
    trace, files = error.__traceback__, []
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return files


def _tell_of_models_without_journal(options: Options) -> None:
    if options.journal is None or options.model in {plugin.name for plugin in discovery.plugins_of("models")}:
        return
    what = f"--model {options.model} is lm_eval's own and keeps no journal (--model ar, for one, does)"
    if options.resume:
        raise UserError(f"--resume: {what}")
    terminal.say(f"lmx: note: {what}; if the run dies it starts anew", error=True)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


@contextmanager
def _journal(options: Options) -> Iterator[Path | None]:
    """Point lmx's models to the journal, and to a file for traces; yield that file (None: the user named one)."""
    if options.journal is None:
        os.environ.pop("LMX_JOURNAL", None)
    else:
        has_some = any(path.stat().st_size for path in options.journal.glob("journal-*.jsonl"))
        if options.resume and not has_some:
            raise UserError(
                f"--resume: nothing to go on from in the journal {options.journal}. Leave out --resume, or name "
                "another folder with --journal"
            )
        os.environ["LMX_JOURNAL"] = str(options.journal)
        outputs.clear_parts(options.journal)
    if os.environ.get("LMX_TRACES"):
        yield None
        return
    folder = options.journal or outputs.root(options.output_path)
    part = outputs.part(folder)
    os.environ["LMX_TRACES"] = str(part)
    try:
        yield part
    finally:
        del os.environ["LMX_TRACES"]
        if not _rank():
            for left in part.parent.glob(f"{part.name}*"):
                left.unlink()


@contextmanager
def _interruptible(options: Options) -> Iterator[None]:
    """Turn Ctrl-C and a scheduler's SIGTERM into one line that says what is kept and how to go on."""
    # Not by way of SIGINT, which a shell lets its background jobs ignore.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if options.journal is None:
            kept = "nothing is kept (--no_journal)"
        else:
            kept = f"finished texts are kept in {options.journal}: give the same command again to go on"
        terminal.say(f"\nlmx: interrupted; {kept}", error=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _say_where(manifest_file: Path, paths: Sequence[Path], results: dict[str, Any]) -> None:
    from_journal = (results.get("config", {}).get("decoding") or {}).get("texts_from_journal")
    if from_journal:
        terminal.say(f"{from_journal} texts came from the journal")
    for path in (*paths, manifest_file):
        terminal.say(path)
