"""What `lmx entropy` does: reads the input, measures, analyses, prints."""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    source: Path | None
    models: list[str]
    model_names: list[str]
    output_dir: Path
    mode: str
    texts: str
    max_new_tokens: int
    temperature: float
    seed: int
    experiment_name: str
    task: str | None
    metric: str | None
    filter_name: str | None
    traces: Path | None
    limit: int | None
    batch_size: int | None
    dtype: str
    device: str | None
    top: int
    keep_hidden: bool
    forward: bool
    timestamp: str | None
    study: bool
    plots: bool
    decoder: str = "ar"
    decoder_args: str = ""


def run(request: Request, track: Any) -> None:
    """Measure and analyse; see `lmx entropy --help`.

    Raises:
        UserError: an option, an input or a model cannot be used.
    """
    _check(request)
    started, clock = datetime.datetime.now().astimezone(), time.monotonic()
    inputs = _inputs(request)
    _quiet()
    from lmx_models.core.sampling import Sampling
    from lmx_probes.entropy.generate import Writing
    from lmx_probes.entropy.measurement import Options, entropy, file_name

    given = [name.strip() for each in request.model_names for name in each.split(",")]
    names = given or [file_name(name) for name in request.models]
    writing = Writing(
        request.max_new_tokens, request.seed, Sampling(temperature=request.temperature), request.batch_size or 16
    )
    options = Options(
        tuple(request.models), tuple(names), request.output_dir, request.mode, request.dtype, request.device,
        request.batch_size, request.top, writing, request.keep_hidden, forward=request.forward,
        decoder=f"{request.decoder} {request.decoder_args}".strip(), writer=_writer(request),
    )  # fmt: skip
    stamp = request.timestamp or started.strftime("%Y%m%d_%H%M%S")
    measured = entropy(inputs, options, stamp, track)
    from lmx_analysis.entropy import results, testing
    from lmx_analysis.tables import console

    found, made = results.write(
        request.output_dir, request.experiment_name, request.plots, request.study, seed=request.seed, track=track
    )
    _manifest(request, inputs.files, started, time.monotonic() - clock, measured.plan)
    screen = console()
    for table in results.screen_tables(made):
        screen.print(table)
        screen.print()
    for note in filter(None, [*measured.notes, testing.why_not_split(found)]):
        screen.print(f"note: {note}", markup=False, highlight=False)
    terminal.say(str(request.output_dir))


def _check(request: Request) -> None:
    """Refuse what can be seen to be wrong before anything is read."""
    from lmx_plugins.guards import check_output_path
    from lmx_probes.entropy.inputs import TEXTS

    if request.texts not in TEXTS:
        raise unknown("--texts", request.texts, TEXTS)
    if request.texts == "gold" and request.mode == "generate":
        raise UserError("--texts gold scores the task's answers: leave it out, or give --mode teacher")
    if request.timestamp is not None and not re.fullmatch(r"[\w.+-]{1,64}", request.timestamp):
        raise UserError(
            f"--timestamp {request.timestamp!r} can be no part of a file's name: use up to 64 letters, digits, . _ + -"
        )
    if not request.models:
        raise UserError("no model: name at least one, e.g. --models smollm2-135m")
    if request.output_dir.is_file():
        raise UserError(f"--output_dir {request.output_dir} is a file: name a folder")
    check_output_path(request.output_dir, "--output_dir")
    if request.plots:
        from lmx_analysis.figures import require_matplotlib

        require_matplotlib()


def _writer(request: Request) -> Any:
    """Return what opens another way of decoding than plain `ar`; None for that one."""
    if request.decoder == "ar" and not request.decoder_args:
        return None
    if request.mode != "generate":
        raise UserError(f"--decoder {request.decoder} writes texts: give --mode generate too")
    from lmx_models import writing
    from lmx_models.harness.asking import arguments_of

    arguments = arguments_of(request.decoder_args, "--decoder_args")

    def opened(model: str) -> Any:
        return writing.opened(
            request.decoder, model, arguments, max_new_tokens=request.max_new_tokens,
            temperature=request.temperature, seed=request.seed, rows=request.batch_size or 16, dtype=request.dtype,
            device=request.device,
        )  # fmt: skip

    return opened


def _inputs(request: Request) -> Any:
    from lmx_analysis.guided.runs import choose_metric
    from lmx_files.runs.folders import Run, is_samples_file
    from lmx_probes.entropy import inputs, samples

    def metric(run: Run, task: str) -> str | None:
        if request.metric is not None:
            return choose_metric(run, task, request.metric)
        try:
            return choose_metric(run, task, None)
        except UserError:
            return None

    writes = request.mode == "generate"
    source = request.source or inputs.DEFAULT_PROMPTS
    if source.is_dir() or source.suffix == ".json" or is_samples_file(source):
        return samples.from_run(
            source, None if writes else request.texts, request.task, request.filter_name, metric, request.traces,
            request.limit,
        )  # fmt: skip
    if not source.exists():
        raise UserError(f"there is no run and no prompts file at {source}: name a run's folder, or a .jsonl of prompts")
    of_runs = {"--task": request.task, "--metric": request.metric, "--filter": request.filter_name,
               "--traces": request.traces, "--texts": request.texts == "gold" or None}  # fmt: skip
    for flag, given in of_runs.items():
        if given is not None:
            raise UserError(f"{flag} is for runs, and {source} is a file of prompts: leave it out")
    found = inputs.from_prompts(source, not writes)
    if request.limit is not None:
        del found.items[request.limit :]
    return found


def _manifest(request: Request, files: list[Path], started: Any, seconds: float, plan: dict[str, Any]) -> None:
    from lmx_files import manifest
    from lmx_files.hashing import sha256

    about = {
        "manifest": 1,
        "command": "lmx entropy",
        "options": {name: str(v) if isinstance(v, Path) else v for name, v in vars(request).items()},
        "inputs": {str(path): sha256(path) for path in files},
        "plan": plan,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "versions": manifest.versions(),
        "git": manifest.git_state(Path.cwd()),
        "machine": manifest.machine(),
    }
    manifest.write(request.output_dir / "manifest.json", about)


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
