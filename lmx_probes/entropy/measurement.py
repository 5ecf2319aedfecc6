"""The measurement behind `lmx entropy`: any number of models over the same texts, or each over its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.hashing import sha256_of_text
from lmx_models.zoo import catalogue
from lmx_probes import models
from lmx_probes.entropy import generate, measure
from lmx_probes.entropy.encode import context_of, encode
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
            logits are not finite; the folder holds another measurement. Then nothing half-written is left.
    """
    resolved = [catalogue.resolve(name) for name in options.models]
    tokenizers = [models.tokenizer_of(name) for name in options.models]
    hashes = [models.vocabulary_hash(each) for each in tokenizers]
    notes = list(dict.fromkeys([*inputs.notes, *(each.note for each in resolved)]))
    if options.mode == "teacher":
        _check_same(options, tokenizers, hashes)
    work = Workspace(options.output)
    plan = {
        "measurement": 1,
        "inputs": inputs.digest(),
        "models": [{"name": n, "model": m, "weights": _weights(r.pretrained), "vocabulary": v[:16]}
                   for n, m, r, v in zip(options.names, options.models, resolved, hashes, strict=True)],
        "mode": options.mode,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "top": options.top,
        "pairs": options.pairs,
        "writing": asdict(options.writing) if options.mode == "generate" else None,
        "forward": options.forward,
        **({"decoder": options.decoder} if options.writer else {}),
    }  # fmt: skip
    scored = None
    if options.mode == "teacher":
        scored = _encode(inputs, options, tokenizers[0], resolved, notes)
    plan = work.begin(plan, {"stamp": stamp})
    found = Measured(
        work, list(options.names), plan, options.pairs and len(options.models) > 1 and scored is not None, notes
    )
    try:
        if scored is not None:
            _read(inputs, options, scored, found, track)
        else:
            _write(inputs.items, options, found, track)
    except BaseException:
        work.undo()
        raise
    return found


def _read(inputs: Inputs, options: Options, scored: Scored, found: Measured, track: Track) -> None:
    work = found.work
    for number, part in enumerate(scored.parts):
        if not work.texts().has(number):
            work.texts().write(number, generate.text_columns([scored.items[i] for i in part], part.start, ""))
    pairs_done = found.paired and all(
        work.pair(a, b).has(number)
        for i, a in enumerate(options.names) for b in options.names[i + 1 :] for number in range(len(scored.parts))
    )  # fmt: skip
    for name, model in zip(options.names, options.models, strict=True):
        states = found.paired and not pairs_done
        if not measure.missing(work, name, scored) and (not states or _has_states(work, name, scored)):
            continue
        if not states and not options.forward and from_recorded(inputs, model, name, scored, work, found.notes):
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
        measure.compare(options.names, scored, work, options.device or "cpu", track)
    if found.paired and not options.keep_hidden:
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


def _has_states(work: Workspace, name: str, scored: Scored) -> bool:
    store = work.hidden(name)
    return store.head.is_file() and all(store.path(number).is_file() for number in range(len(scored.parts)))


def _check_same(options: Options, tokenizers: Sequence[Any], hashes: Sequence[str]) -> None:
    for name, tokenizer, digest in zip(options.models[1:], tokenizers[1:], hashes[1:], strict=True):
        if digest != hashes[0]:
            sizes = f"{models.vocabulary_of(tokenizers[0]):,} and {models.vocabulary_of(tokenizer):,} ids"
            raise UserError(
                f"{options.models[0]} and {name} have other vocabularies ({sizes}), so no token is the same to both "
                "and they cannot be compared token by token. Measure each by itself, or let each write with --mode "
                "generate and compare bits per byte"
            )


def _encode(inputs: Inputs, options: Options, tokenizer: Any, resolved: Sequence[Any], notes: list[str]) -> Scored:
    from lmx_models.zoo.from_files import config_from

    contexts = []
    for each in resolved:
        config = config_from(each.pretrained, each.revision)
        contexts.append(context_of(config.get_text_config()))
    longest = min((n for n in contexts if n is not None), default=None)
    encoded = [encode(item, tokenizer, longest) for item in inputs.items]
    again = sum(each.again for each in encoded)
    logged = sum(item.tokens is not None for item in inputs.items)
    if logged and again:
        notes.append(
            f"{again} of {len(encoded)} texts are not these ids in this tokenizer, or have none: encoded again"
        )
    if cut := sum(bool(each.dropped) for each in encoded):
        notes.append(
            f"{cut} prompts were longer than the {longest} tokens that the models read and lost their beginning"
        )
    return Scored(inputs.items, encoded)


def _weights(pretrained: str) -> str:
    """Return a hash of what identifies the weights: names and sizes of a folder's files, and its configuration."""
    folder = Path(pretrained)
    if not folder.is_dir():
        return pretrained
    files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.glob("*.safetensors"))
    config = folder / "config.json"
    return sha256_of_text(json.dumps([files, config.read_text("utf-8") if config.is_file() else ""]))[:16]
