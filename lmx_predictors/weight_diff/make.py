"""Makes a difference: bits of the model minus bits of the base, as whole numbers, so that nothing is rounded.

Differences of floating-point numbers, as they are mostly published, do not give the model back: (a - b) + b is not a.
Here the bits of each element are read as an unsigned number of the element's size and subtracted modulo 2^size, which
adding undoes exactly, NaNs included.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from lmx_files import atomic, jsonl
from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_files.reading import open_following_links, reason
from lmx_predictors.weight_diff import manifest
from lmx_predictors.weight_diff.manifest import BaseTensor, Manifest, ShardEntry
from lmx_predictors.weight_diff.weights import SIZES, Shard, Tensor, by_name, pieces, shards

Progress = Callable[[str, int, int], None]
DONE = ".weight_diff_done.jsonl"
_BEGINNING = '{"shard": '
UNSIGNED: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


def make(model: Path, base: Path, output: Path, progress: Progress | None = None) -> Manifest:
    """Write the difference of a model from its base into `output`, a file for each of the model's weight files.

    At most a few pieces of 8 MiB are in memory. Files that an interrupted attempt finished are kept.

    Args:
        model, base: folders with safetensors. A tensor with more rows than the base's (added tokens) is compared with
            zeros there; one that the base lacks, or has in another type or shape, is kept whole.
        progress: called with a file's name, its number and how many there are.

    Raises:
        UserError: a folder or file is damaged or missing, or `output` cannot be written or is one of the others.
    """
    of_model, of_base = shards(model), by_name(shards(base))
    check_output(output, model, base)
    with written_to(output), open_files(of_base) as opened:
        done = _finished(output)
        entries: dict[str, ShardEntry] = {}
        for number, shard in enumerate(of_model):
            if progress is not None:
                progress(shard.file.name, number, len(of_model))
            entry = done.get(shard.file.name)
            if entry is None or not _still_holds(shard, output, entry, of_base, opened):
                entry = _make_shard(shard, output, of_base, opened)
                with jsonl.Appender(output / DONE, _BEGINNING, "an interrupted attempt") as log:
                    log.add({"shard": shard.file.name, "entry": entry.model_dump()})
            entries[shard.file.name] = entry
        whole = [t.name for shard in of_model for t in shard.tensors if not comparable(t, of_base.get(t.name))]
        files = manifest.copied(manifest.beside(model), output)
        made = Manifest(shards=entries, files=files, whole=whole)
        manifest.write(output, made)
        (output / DONE).unlink(missing_ok=True)
    return made


def comparable(tensor: Tensor, base: Tensor | None) -> bool:
    """Whether the bits of two tensors can be subtracted: one type, and one shape but for the number of rows."""
    return (
        base is not None
        and tensor.dtype == base.dtype
        and len(tensor.shape) == len(base.shape)
        and tensor.shape[1:] == base.shape[1:]
    )


def subtract(a: bytes, b: bytes, dtype: str) -> bytes:
    """Return the bits of `a` minus those of `b`, element by element, modulo 2^(bits of an element)."""
    kind = UNSIGNED[SIZES.get(dtype, 1)]
    return (np.frombuffer(a, kind) - np.frombuffer(b, kind)).tobytes()


def add(a: bytes, b: bytes, dtype: str) -> bytes:
    """Undo `subtract`."""
    kind = UNSIGNED[SIZES.get(dtype, 1)]
    return (np.frombuffer(a, kind) + np.frombuffer(b, kind)).tobytes()


def base_entry(tensor: Tensor, opened: dict[Path, IO[bytes]]) -> BaseTensor:
    """Return what the manifest says of a tensor of the base, its bytes read for their SHA-256."""
    digest = hashlib.sha256()
    for piece in pieces(opened[tensor.file], tensor, tensor.size):
        digest.update(piece)
    return BaseTensor(dtype=tensor.dtype, shape=list(tensor.shape), sha256=digest.hexdigest())


@contextlib.contextmanager
def open_files(tensors: dict[str, Tensor]) -> Iterator[dict[Path, IO[bytes]]]:
    """Open the files that tensors lie in."""
    with contextlib.ExitStack() as stack:
        yield {
            file: stack.enter_context(open_following_links(file)) for file in {each.file for each in tensors.values()}
        }


@contextlib.contextmanager
def written_to(output: Path) -> Iterator[None]:
    """Make the folder, and turn what the disk refuses into one line."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"cannot write into {output}: {reason(error)}. Make room, or choose another folder with -o, and run again: "
            "whole files are kept"
        ) from error


def _make_shard(shard: Shard, output: Path, of_base: dict[str, Tensor], opened: dict[Path, IO[bytes]]) -> ShardEntry:
    model, diff = hashlib.sha256(shard.header), hashlib.sha256(shard.header)
    entries: dict[str, BaseTensor] = {}
    with (
        open_following_links(shard.file) as source,
        atomic.replacing(output / shard.file.name, binary=True, sync=True) as file,
    ):
        file.write(shard.header)
        for tensor in shard.tensors:
            other = of_base.get(tensor.name)
            theirs = None
            if other is not None and comparable(tensor, other):
                entries[tensor.name] = base_entry(other, opened)
                theirs = pieces(opened[other.file], other, tensor.size)
            for ours in pieces(source, tensor, tensor.size):
                made = ours if theirs is None else subtract(ours, next(theirs), tensor.dtype)
                model.update(ours)
                diff.update(made)
                file.write(made)
    return ShardEntry(diff=diff.hexdigest(), model=model.hexdigest(), base=entries)


def check_output(output: Path, *inputs: Path) -> None:
    for folder in inputs:
        if output.resolve() == folder.resolve():
            raise UserError(f"-o {output} is the folder of an input: choose another one")
    if output.exists() and not output.is_dir():
        raise UserError(f"-o {output} is a file: name a folder")


def _finished(output: Path) -> dict[str, ShardEntry]:
    """Return the files that an interrupted attempt finished."""
    log = output / DONE
    if not log.is_file():
        return {}
    return {
        str(line["shard"]): ShardEntry.model_validate(line["entry"])
        for line in jsonl.read(log, "an interrupted attempt", last="skip")
    }


def _still_holds(
    shard: Shard, output: Path, entry: ShardEntry, of_base: dict[str, Tensor], opened: dict[Path, IO[bytes]]
) -> bool:
    """Whether a file of an interrupted attempt is whole, of this model and of this base."""
    made = output / shard.file.name
    if not made.is_file() or sha256(made) != entry.diff or sha256(shard.file) != entry.model:
        return False
    now = {t.name for t in shard.tensors if comparable(t, of_base.get(t.name))}
    return now == entry.base.keys() and all(base_entry(of_base[name], opened) == entry.base[name] for name in now)
