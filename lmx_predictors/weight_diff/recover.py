"""Gets a model back from its base and a difference that `make` wrote, and proves it by checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from lmx_files import atomic
from lmx_files.errors import UserError, few
from lmx_files.hashing import sha256
from lmx_files.reading import open_following_links
from lmx_predictors.weight_diff import manifest
from lmx_predictors.weight_diff.make import Progress, add, base_entry, check_output, open_files, written_to
from lmx_predictors.weight_diff.manifest import BaseTensor, Manifest, ShardEntry
from lmx_predictors.weight_diff.weights import Shard, Tensor, by_name, pieces, read_header, shards


def recover(diff: Path, base: Path, output: Path, progress: Progress | None = None) -> Manifest:
    """Write the model that a difference was made of: every file has the SHA-256 that the model's had.

    The base is read and compared with the manifest before anything is written. Files that an interrupted attempt
    finished are kept.

    Raises:
        UserError: the base is not the one that the difference was made from, the difference is damaged or not whole,
            or `output` cannot be written.
    """
    wanted = manifest.read(diff)
    of_diff = [_shard(diff, name) for name in wanted.shards]
    of_base = by_name(shards(base))
    check_output(output, diff, base)
    for name, digest in wanted.files.items():
        if not (diff / name).is_file() or sha256(diff / name) != digest:
            raise UserError(f"{diff / name} is missing or was changed since the difference was made: fetch it again")
    with open_files(of_base) as opened:
        _check_base(wanted, of_base, base, opened, progress)
        with written_to(output):
            for number, shard in enumerate(of_diff):
                if progress is not None:
                    progress(shard.file.name, number, len(of_diff))
                entry = wanted.shards[shard.file.name]
                place = output / shard.file.name
                if not (place.is_file() and sha256(place) == entry.model):
                    _recover_shard(shard, place, entry, of_base, opened)
            manifest.copied([diff / name for name in wanted.files], output)
    return wanted


def _shard(diff: Path, name: str) -> Shard:
    if not (diff / name).is_file():
        raise UserError(f"{diff} lacks {name}, which its manifest names: fetch the difference again")
    return read_header(diff / name)


def _check_base(
    wanted: Manifest, of_base: dict[str, Tensor], base: Path, opened: dict[Path, IO[bytes]], progress: Progress | None
) -> None:
    """Raise a `UserError` unless the base has the very tensors that the difference was taken from."""
    entries: dict[str, BaseTensor] = {
        name: each for shard in wanted.shards.values() for name, each in shard.base.items()
    }
    lacking = [name for name in entries if name not in of_base]
    if lacking:
        raise UserError(f"{base} is not the base of this difference: it lacks {few(lacking, 3)}")
    for name, entry in entries.items():
        found = of_base[name]
        if found.dtype != entry.dtype or list(found.shape) != entry.shape:
            raise UserError(
                f"{base} is not the base of this difference: its {name!r} is {found.dtype} {list(found.shape)}, that "
                f"of the base was {entry.dtype} {entry.shape}"
            )
    for number, (name, entry) in enumerate(entries.items()):
        if progress is not None:
            progress(f"checking the base: {name}", number, len(entries))
        if base_entry(of_base[name], opened).sha256 != entry.sha256:
            raise UserError(
                f"{base} is not the base of this difference: its {name!r} has other values. Get the very base, also "
                "its revision, that the difference was made from"
            )


def _recover_shard(
    shard: Shard, place: Path, entry: ShardEntry, of_base: dict[str, Tensor], opened: dict[Path, IO[bytes]]
) -> None:
    model, diff = hashlib.sha256(shard.header), hashlib.sha256(shard.header)
    with open_following_links(shard.file) as source, atomic.replacing(place, binary=True, sync=True) as file:
        file.write(shard.header)
        for tensor in shard.tensors:
            other = of_base[tensor.name] if tensor.name in entry.base else None
            theirs = None if other is None else pieces(opened[other.file], other, tensor.size)
            for change in pieces(source, tensor, tensor.size):
                made = change if theirs is None else add(change, next(theirs), tensor.dtype)
                diff.update(change)
                model.update(made)
                file.write(made)
        if diff.hexdigest() != entry.diff:
            raise UserError(f"{shard.file} was changed since the difference was made: fetch it again")
        if model.hexdigest() != entry.model:
            raise UserError(f"{place.name} did not come out as the model's own (SHA-256): the manifest is damaged")
