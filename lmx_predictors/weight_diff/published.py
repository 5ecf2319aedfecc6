"""Gets models back whose difference was published as floating-point numbers to add to the base.

Such releases (the study's models among them) subtracted the weights as numbers, with zeros where the base has fewer
rows. Their sum is rounded as they rounded it, so what comes out is what their own script gives; the sum of all weights,
which some of them name, is the only check that they offer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_files.reading import open_following_links
from lmx_predictors.weight_diff import manifest
from lmx_predictors.weight_diff.make import Progress, check_output, comparable, open_files, written_to
from lmx_predictors.weight_diff.weights import Shard, Tensor, by_name, pieces, shards

Floats = NDArray[np.float32] | NDArray[np.float64]
FLOATS = ("F16", "BF16", "F32", "F64")


def recover_published(
    diff: Path, base: Path, output: Path, total: float | None = None, progress: Progress | None = None
) -> float:
    """Write base plus difference, tensor by tensor, and return the sum of all weights.

    Args:
        total: what the sum must be, to 1 part in 100,000 (as numpy.allclose compares); the last file is not written
            where it is another one.

    Raises:
        UserError: the base has other tensors, a tensor is no floating-point number, or the sum differs.
    """
    of_diff, of_base = shards(diff), by_name(shards(base))
    check_output(output, diff, base)
    _check_tensors(of_diff, of_base, base)
    found = 0.0
    with written_to(output), open_files(of_base) as opened:
        for number, shard in enumerate(of_diff):
            if progress is not None:
                progress(shard.file.name, number, len(of_diff))
            last = number == len(of_diff) - 1
            with (
                open_following_links(shard.file) as source,
                atomic.replacing(output / shard.file.name, binary=True, sync=True) as file,
            ):
                file.write(shard.header)
                for tensor in shard.tensors:
                    other = of_base.get(tensor.name)
                    theirs = None if other is None else pieces(opened[other.file], other, tensor.size)
                    for change in pieces(source, tensor, tensor.size):
                        piece = numbers(change, tensor.dtype)
                        if theirs is not None:
                            piece = rounded(piece + numbers(next(theirs), tensor.dtype), tensor.dtype)
                        found += float(piece.sum(dtype=np.float64))
                        file.write(encoded(piece, tensor.dtype))
                if last and total is not None and not math.isclose(found, total, rel_tol=1e-5, abs_tol=1e-8):
                    raise UserError(f"the weights add up to {found:.6g}, not to {total:.6g}: {base} is another base")
        manifest.copied(manifest.beside(diff), output)
    return found


def numbers(raw: bytes, dtype: str) -> Floats:
    """Return the numbers that bytes hold; bfloat16, which numpy lacks, is the upper half of a float32."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]
    read = np.frombuffer(raw, kind)
    return read.astype(np.float32) if dtype == "F16" else read


def rounded(values: Floats, dtype: str) -> Floats:
    """Return values as the type can hold them, rounded to the nearest, ties to even."""
    return numbers(encoded(values, dtype), dtype)


def encoded(values: Floats, dtype: str) -> bytes:
    """Return the bytes of numbers, rounded to the type."""
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()
    bits = values.astype(np.float32).view(np.uint32)
    up = bits + (0x7FFF + ((bits >> 16) & 1))
    return np.where(np.isnan(values), (bits >> 16) | 0x40, up >> 16).astype("<u2").tobytes()


def _check_tensors(of_diff: list[Shard], of_base: dict[str, Tensor], base: Path) -> None:
    check: Callable[[Tensor, Tensor | None], bool] = comparable
    for tensor in (tensor for shard in of_diff for tensor in shard.tensors):
        other = of_base.get(tensor.name)
        if tensor.dtype not in FLOATS:
            raise UserError(f"{tensor.file}: {tensor.name!r} is {tensor.dtype}, and no numbers can be added to it")
        if other is not None and not check(tensor, other):
            raise UserError(
                f"{base} is not the base of this difference: its {tensor.name!r} is {other.dtype} {list(other.shape)}, "
                f"that of the difference {tensor.dtype} {list(tensor.shape)}"
            )
