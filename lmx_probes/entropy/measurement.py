"""The measurement behind `lmx entropy`: any number of models over the same texts, or each over its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_models.records.fingerprint import model_identity
from lmx_probes import models
from lmx_probes.entropy import before, generate, measure
from lmx_probes.entropy.generate import Writing
from lmx_probes.entropy.inputs import Inputs, Item, check_unique
from lmx_probes.entropy.measure import Scored, Track, untracked
from lmx_probes.entropy.recorded import from_recorded
from lmx_probes.entropy.workspace import Workspace

MODES = ("teacher", "generate")


@dataclass(frozen=True)
class Options:
    """What is measured and how.

    Attributes:
        models: as the user named them. names: of their files and columns. mode: ``teacher``: all read the same texts;
            ``generate``: each writes its own.
        top: how many of the likeliest tokens are kept with each token. pairs: compare models on shared tokens.
        keep_hidden: keep the states before the head; they are made where they are not there.
        forward: read with the model also where the run recorded the values.
        decoder: how texts are written in ``generate``, for the record; writer: opens it for a model (see
            `generate.write_and_take`); None: autoregressively.
    """

    models: tuple[str, ...]
    names: tuple[str, ...]
    output: Path
    mode: str = "teacher"
    dtype: str = "float32"
    device: str | None = None
    batch_size: int | None = None
    top: int = 0
    writing: Writing = field(default_factory=Writing)
    keep_hidden: bool = False
    pairs: bool = True
    forward: bool = False
    decoder: str = "ar"
    writer: Callable[[str], AbstractContextManager[Any]] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("--mode", self.mode, MODES)
        if not self.models:
            raise UserError("no model: name at least one with --models")
        if len(self.names) != len(self.models):
            raise UserError(
                f"--model_names has {len(self.names)} names for {len(self.models)} models: give one for each"
            )
        for name in self.names:
            if not name or name != file_name(name):
                raise UserError(f"--model_names {name!r} can be no part of a file's name: use letters, digits, . _ -")
        check_unique(self.names)
        if self.mode == "generate":
            for flag, given in (("--top", self.top), ("--keep_hidden", self.keep_hidden), ("--forward", self.forward)):
                if given:
                    raise UserError(f"{flag} is for texts that are read: leave it out, or give --mode teacher")


@dataclass
class Measured:
    """What was measured: where it lies, whether models were compared token by token, what a reader should know."""

    work: Workspace
    names: list[str]
    plan: dict[str, Any]
    paired: bool
    notes: list[str]
    fed: dict[str, int] = field(default_factory=dict)


def file_name(model: str) -> str:
    """Return a model's name as a part of a file's name: the last part of a path, other characters as ``_``."""
    last = model.rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf")
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in last).lstrip(".") or "model"


def entropy(inputs: Inputs, options: Options, stamp: str, track: Track = untracked) -> Measured:
    """Measure; finished parts of an earlier, killed attempt are kept.

    Args:
        stamp: time stamp of the files, taken at the first attempt.

    Raises:
        UserError: a model is not there or cannot be read; models of unlike vocabularies are to read the same texts;
            logits are not finite; the folder holds another measurement. Then nothing half-written is left, and the
            message says which finished parts stay.
    """
    found = [before.known(name) for name in options.models]
    notes = list(dict.fromkeys([*inputs.notes, *(each.resolved.note for each in found)]))
    scored = None
    if options.mode == "teacher":
        notes += before.check_same(found)
        scored = before.encode_all(inputs.items, found, notes)
    else:
        before.check_prompts(inputs.items, found)
    if len(found) > 1 and options.writer is None:
        for each in found:  # of one model it is said when it is loaded: what its run recorded can be taken
            models.refuse_unread(each.resolved, each.name)
    work = Workspace(options.output)
    plan = work.begin(_plan(inputs, options, found), {"stamp": stamp, "named": list(options.models)})
    if plan["stamp"] != stamp:
        notes.append(f"this goes on with the measurement of {plan['stamp']}: its files keep that time stamp")
    paired = options.pairs and len(options.models) > 1 and scored is not None
    made = Measured(work, list(options.names), plan, paired, notes)
    try:
        if scored is not None:
            _read(inputs, options, scored, made, found[0].tokenizer, track)
        else:
            _write(inputs.items, options, made, track)
    except BaseException as error:
        stays = work.undo()
        if stays and isinstance(error, UserError):
            raise UserError(f"{error}. {stays}") from error
        raise
    return made


def _plan(inputs: Inputs, options: Options, found: Sequence[before.Known]) -> dict[str, Any]:
    """Return all that a number depends on. Weights are named by their content, so that a copy goes on."""
    about = [
        {
            "name": name,
            "weights": model_identity(each.resolved.pretrained, each.resolved.revision, None),
            "vocabulary": each.vocabulary[:16],
        }
        for name, each in zip(options.names, found, strict=True)
    ]
    return {
        "measurement": 2,
        "inputs": inputs.digest(),
        "models": about,
        "mode": options.mode,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "top": options.top,
        "pairs": options.pairs,
        "writing": asdict(options.writing) if options.mode == "generate" else None,
        "forward": options.forward,
        **({"decoder": options.decoder} if options.writer else {}),
    }


def _read(
    inputs: Inputs, options: Options, scored: Scored, found: Measured, tokenizer: Any, track: Track
) -> None:  # fmt: skip
    work = found.work
    for number, part in enumerate(scored.parts):
        if not work.texts().has(number):
            work.texts().write(number, generate.text_columns(scored, part, "", tokenizer))
    pairs_done = found.paired and all(
        work.pair(a, b).has(number)
        for i, a in enumerate(options.names) for b in options.names[i + 1 :] for number in range(len(scored.parts))
    )  # fmt: skip
    states = (found.paired and not pairs_done) or options.keep_hidden
    for name, model in zip(options.names, options.models, strict=True):
        if not measure.missing(work, name, scored, states):
            continue
        reads = states or options.forward or options.top
        if not reads and from_recorded(inputs, model, name, scored, work, found.notes, options.dtype):
            continue
        with models.opened(model, options.dtype, options.device) as probe:
            if probe.head.padding:
                found.notes.append(
                    f"{name}: {probe.head.padding} rows of its output beyond the tokenizer's ids are masked"
                )
            found.fed[name] = measure.measure(
                probe, name, scored, work, keep_hidden=states, k=options.top, rows=options.batch_size, track=track
            )
    if found.paired and not pairs_done:
        measure.compare(options.names, scored, work, models.place_of(options.device), track)
    if not options.keep_hidden:
        work.forget_hidden()


def _write(items: Sequence[Item], options: Options, found: Measured, track: Track) -> None:
    for name, model in zip(options.names, options.models, strict=True):
        if all(found.work.tokens(name).has(number) for number in range(len(generate.parts_of(items)))):
            continue
        if options.writer is not None:
            with options.writer(model) as write:
                words = models.tokenizer_of(model)
                generate.write_and_take(write, words, model, name, items, found.work, track)
            found.notes.append(
                f"{name}: written with {options.decoder}; scores were recorded on the way, no forward more"
            )
            continue
        with models.opened(model, options.dtype, options.device) as probe:
            generate.write_and_measure(probe, name, items, options.writing, found.work, track)
