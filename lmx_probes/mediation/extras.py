"""Beside the effects of exchanged words: count transfer, residuals for the running count, steps along its direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmx_files import parquet
from lmx_files.hashing import sha256
from lmx_probes.mediation.measure import Meter
from lmx_probes.mediation.parts import Parts, table_of
from lmx_probes.mediation.running import digit_rows, lists_of, residuals, steering
from lmx_probes.mediation.study import Study
from lmx_probes.mediation.transfer import transfer_effects, transfers_of
from lmx_probes.mediation.trials import encoder

CHUNK = 8
T = TypeVar("T")
Progress = Callable[[Sequence[int]], Iterable[int]]


def measure_transfer(
    study: Study, folder: Path, layers: Sequence[int], most: int, seed: int, progress: Progress
) -> None:
    """Write ``transfer.parquet``; resumed like the effects."""
    transfers = transfers_of(study.questions, encoder(study.tokenizer), seed, most)
    meter = Meter(study.answers)
    _in_parts(
        folder, "transfer", transfers, [(each.base, each.source) for each in transfers],
        lambda some: transfer_effects(study.patcher, some, layers, meter), progress, list(layers),
    )  # fmt: skip


def measure_running(
    study: Study, folder: Path, layers: Sequence[int], most: int, seed: int, progress: Progress
) -> None:
    """Write ``running.parquet``, residuals where words end, and ``digits.parquet``, the numbers' output rows."""
    lists = lists_of(study.questions, encoder(study.tokenizer), seed, most)
    _in_parts(
        folder, "running", lists, [each.tokens for each in lists],
        lambda some: residuals(study.patcher, some, layers), progress, list(layers),
    )  # fmt: skip
    parquet.write(folder / "digits.parquet", pa.table(digit_rows(study.patcher, Meter(study.answers))))


def measure_steering(
    study: Study, folder: Path, directions: Mapping[int, NDArray[np.float64]], most: int, seed: int, progress: Progress
) -> None:
    """Write ``steering.parquet``: what a step along each layer's direction does to the expected count."""
    lists = [each for each in lists_of(study.questions, encoder(study.tokenizer), seed, most) if each.split == "test"]
    steps = {layer: direction.astype(np.float32) for layer, direction in directions.items()}
    meter = Meter(study.answers)
    # directions follow from these tables, and from the number of threads in their last digits
    plan = (
        [sorted(steps), [sha256(folder / f"{name}.parquet") for name in ("running", "digits")], seed] if lists else []
    )
    _in_parts(
        folder, "steering", lists, [each.tokens for each in lists],
        lambda some: steering(study.patcher, some, steps, meter, seed), progress, plan,
    )  # fmt: skip


def _in_parts(
    folder: Path, name: str, items: Sequence[T], texts: Sequence[Any], measure: Callable[[Sequence[T]], dict[str, Any]],
    progress: Progress, about: list[Any],
) -> None:  # fmt: skip
    parts = Parts(folder / "parts" / name, {"texts": texts, "about": about})
    numbers = range(-(-len(items) // CHUNK))
    for number in progress([each for each in numbers if not parts.has(each)]):
        parts.write(number, {name: table_of(measure(items[number * CHUNK : (number + 1) * CHUNK]), {})})
    if items:
        parquet.write(folder / f"{name}.parquet", parts.joined(name))
