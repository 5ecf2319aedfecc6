"""Safetensors files read in pieces: where each tensor of a model's folder lies, and its bytes as a stream.

The format is a length (8 bytes, little endian), a JSON header of that length and the tensors' bytes
(https://github.com/huggingface/safetensors, "Format"). It is read here without its package because a difference must be
written while it is read, a piece at a time, and because the bytes of all types must survive, NaNs with payloads too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lmx_files import jsonl
from lmx_files.errors import UserError, few
from lmx_files.reading import is_plain_name, open_following_links, reason

PIECE = 1 << 23
"""Bytes that are in memory at once of each file; a multiple of every element's size."""
LONGEST_HEADER = 100_000_000  # the format's own limit
SIZES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8), **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
}  # fmt: skip
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: its file, type, shape, and the first and the last-but-one byte of its data in the file."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


@dataclass(frozen=True)
class Shard:
    """One file: the bytes before its first tensor, and its tensors in the order in which they lie."""

    file: Path
    header: bytes
    tensors: tuple[Tensor, ...]


def shards(folder: Path) -> list[Shard]:
    """Return the weight files of a model's folder.

    Raises:
        UserError: there are none (pickled weights are not read), one is missing or damaged, or a tensor is there twice.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name a folder with a model's *.safetensors")
    files = sorted(folder.glob("*.safetensors"))
    wanted = _indexed(folder)
    lacking = [name for name in wanted if not (folder / name).is_file()]
    if lacking:
        raise UserError(f"{folder} lacks {few(lacking)}, which {INDEX} names: fetch the model again")
    files = [folder / name for name in wanted] or files
    if not files:
        raise UserError(
            f"{folder} holds no *.safetensors. Pickled weights (.bin, .pt) are not read, for they may run code: save "
            "the model with save_pretrained, which writes safetensors"
        )
    found = [read_header(file) for file in files]
    seen: dict[str, Path] = {}
    for tensor in (tensor for shard in found for tensor in shard.tensors):
        if tensor.name in seen:
            raise UserError(f"tensor {tensor.name!r} is in {seen[tensor.name].name} and in {tensor.file.name}")
        seen[tensor.name] = tensor.file
    return found


def by_name(found: list[Shard]) -> dict[str, Tensor]:
    """Return all tensors by name."""
    return {tensor.name: tensor for shard in found for tensor in shard.tensors}


def read_header(file: Path) -> Shard:
    """Read what a file holds; a `UserError` if it is damaged or cut off."""
    with open_following_links(file) as stream:
        try:
            beginning = stream.read(8)
            length = int.from_bytes(beginning, "little")
            header = stream.read(length) if len(beginning) == 8 and length <= LONGEST_HEADER else b""
            size = file.stat().st_size
        except OSError as error:
            raise UserError(f"cannot read {file}: {reason(error)}") from error
    if len(beginning) < 8 or len(header) != length or not header:
        raise UserError(f"{file} is no safetensors file, or was cut off: fetch it again")
    value = jsonl.parse(header, f"{file} is no safetensors file: its header is not JSON")
    try:
        tensors = [_tensor(file, name, entry, 8 + length) for name, entry in value.items() if name != "__metadata__"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no safetensors file: its header is damaged ({error})") from error
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    place = 8 + length
    for tensor in tensors:
        if tensor.start != place:
            raise UserError(f"{file}: tensor {tensor.name!r} does not lie where the one before it ends: fetch it again")
        place = tensor.end
    if place != size:
        raise UserError(f"{file} has {size} bytes, its header speaks of {place}: it was cut off. Fetch it again")
    return Shard(file, beginning + header, tuple(tensors))


def pieces(stream: IO[bytes], tensor: Tensor, length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes of a tensor in pieces; behind its end there are zeros."""
    stream.seek(tensor.start)
    for done in range(0, length, PIECE):
        wanted = min(PIECE, length - done)
        have = max(0, min(wanted, tensor.size - done))
        read = stream.read(have)
        if len(read) != have:
            raise UserError(f"{tensor.file} ends inside tensor {tensor.name!r}: it was cut off")
        yield read + bytes(wanted - have)


def _tensor(file: Path, name: str, entry: dict[str, Any], base: int) -> Tensor:
    start, end = entry["data_offsets"]
    shape = tuple(int(each) for each in entry["shape"])
    dtype = str(entry["dtype"])
    if not 0 <= start <= end or (dtype in SIZES and math.prod(shape) * SIZES[dtype] != end - start):
        raise ValueError(f"offsets of {name!r}")
    return Tensor(name, file, dtype, shape, base + start, base + end)


def _indexed(folder: Path) -> list[str]:
    file = folder / INDEX
    if not file.is_file():
        return []
    names = jsonl.read_object(file).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(each, str) and is_plain_name(each) for each in names.values()):
        raise UserError(f"{file}: weight_map must name the file of each tensor: {json.dumps(names)[:80]}")
    return sorted(set(names.values()))
