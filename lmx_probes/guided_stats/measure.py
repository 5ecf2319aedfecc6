"""Measures every consultation under a base, in parts that survive a kill.

``plan.json`` says all that a number depends on and what read the texts; ``part-*.parquet`` have one row a consultation.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import logging

from lmx_files import parquet
from lmx_files.hashing import sha256_of_text
from lmx_files.manifest import versions
from lmx_models.records.fingerprint import model_identity
from lmx_models.zoo import catalogue
from lmx_probes import models
from lmx_probes.attention import Reader, Reading
from lmx_probes.guided_stats import measures
from lmx_probes.guided_stats.contexts import Asked, Context, batches, context_of
from lmx_probes.models import ProbeModel

if TYPE_CHECKING:
    import pyarrow as pa

PART_TEXTS = 64
"""Texts after which a part is written; a kill costs at most these."""
COLUMNS = (*measures.TOKEN_MEASURES, *measures.ATTENTION_MEASURES)
Row = dict[str, Any]
Batches = Sequence[tuple[int, list[int]]]
Track = Callable[[Batches], Iterable[tuple[int, list[int]]]]


@dataclass(frozen=True)
class Settings:
    """What is measured, and with what.

    Attributes:
        base: a name as `models.load` takes it. mode: ``corrected`` or ``seed``, see `measures`.
        batch_size: texts in one forward. dtype, device: as for `models.load`.
    """

    base: str
    mode: str = "corrected"
    batch_size: int = 8
    dtype: str = "float32"
    device: str | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        base: what the results tell of the model that read, see `facts`.
        measured_with: versions of the packages that measured.
        rows: of each text, one a consultation, in order; what is not determined is None.
    """

    base: dict[str, str]
    measured_with: dict[str, str]
    rows: list[list[Row]]


def facts(probe: ProbeModel) -> dict[str, str]:
    """Return what the results tell of a base."""
    kind, model = type(probe.model).__name__, probe.model
    return {
        "name": probe.name, "note": probe.note, "class": kind, "dtype": str(model.dtype), "device": str(model.device),
    }  # fmt: skip


def schema() -> pa.Schema:
    """Return the columns of a part: the number of the text, then those of a row."""
    import pyarrow as pa

    whole = dict.fromkeys(("text", "consultation", "position"), pa.int64())
    shares = {"normalized_position": pa.float64(), "context_tokens": pa.int64(), "oracle_tokens": pa.int64()}
    shares["oracle_tokens_normalized"] = pa.float64()
    return pa.schema(whole | shares | dict.fromkeys(COLUMNS, pa.float64()))


def measure(texts: Sequence[Asked], settings: Settings, folder: Path, track: Track = iter) -> Measured:
    """Measure all consultations of texts, or what an earlier, killed attempt left of them.

    The texts are checked before weights are loaded, and no weights are loaded where all parts are there.

    Args:
        folder: for the plan and the parts. track: may show progress over the batches, (number of the part, texts).

    Raises:
        UserError: there is no such model or it is not the run's, its attention cannot be read, or the folder holds
            parts of another measurement.
    """
    resolved = catalogue.resolve(settings.base)
    tokenizer = models.tokenizer_of(settings.base)
    contexts = [context_of(text, tokenizer, settings.base) for text in texts]
    device = torch.device(settings.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    plan = {
        "measurement": 1,
        "texts": _digest(texts),
        "base": settings.base,
        "weights": model_identity(resolved.pretrained, resolved.revision, None),
        "vocabulary": models.vocabulary_hash(tokenizer)[:16],
        "mode": settings.mode,
        "batch_size": settings.batch_size,
        "part_texts": PART_TEXTS,
        "dtype": settings.dtype,
        "device": device.type,
    }
    begun = parquet.planned(folder, plan, "-o")
    parts = parquet.Parts(folder, schema())
    grouped = _grouped(batches(contexts, settings.batch_size))
    missing = [(number, batch) for number, batch in grouped if not parts.has(number)]
    if begun is None or missing:
        logging.disable_progress_bar()  # of loading
        with models.opened(settings.base, settings.dtype, settings.device) as probe:
            reader = Reader(probe)
            begun = begun or parquet.begin(folder, plan, {"read_by": facts(probe), "measured_with": versions()}, "-o")
            _write(contexts, reader, settings.mode, parts, missing, track)
    return Measured(dict(begun["read_by"]), dict(begun["measured_with"]), _rows(folder, len(texts)))


def _digest(texts: Sequence[Asked]) -> str:
    """Return a hash of all that is read of texts."""
    read = [
        [each.prompt, each.prompt_tokens, each.truncated, *map(list, (each.tokens, each.at, each.oracle_tokens))]
        for each in texts
    ]
    return sha256_of_text(json.dumps(read))


def _grouped(found: Sequence[list[int]]) -> Batches:
    """Return batches with the number of the part that each is written in."""
    grouped, number, texts = [], 0, 0
    for batch in found:
        if texts >= PART_TEXTS:
            number, texts = number + 1, 0
        grouped.append((number, batch))
        texts += len(batch)
    return grouped


def _write(
    contexts: Sequence[Context], reader: Reader, mode: str, parts: parquet.Parts, missing: Batches, track: Track
) -> None:
    """Measure the batches of missing parts; a part is written when its last batch is measured."""
    left = Counter(number for number, _ in missing)
    rows: list[Row] = []
    for number, batch in track(missing):
        chosen = [contexts[text] for text in batch]
        readings = reader.read([each.tokens for each in chosen], [each.positions for each in chosen])
        for text, context, reading in zip(batch, chosen, readings, strict=True):
            rows += [{"text": text, **_row(context, reading, which, mode)} for which in range(len(context.text.at))]
        left[number] -= 1
        if not left[number]:
            parts.write(number, {name: [row[name] for row in rows] for name in parts.schema.names})
            rows = []


def _row(context: Context, reading: Reading, which: int, mode: str) -> Row:
    """Return the measurements of one consultation."""
    at, position = context.text.at[which], context.positions[which]
    end, length = position + 1, len(context.text.tokens)
    if mode == "seed":
        attention = measures.seed(
            reading.query[:, :end], reading.key[:, :end], reading.visible[:end, :end], reading.scaling
        )
    else:
        attention = measures.corrected(
            reading.query[:, position], reading.key[:, :end], reading.visible[position, :end], reading.scaling
        )
    values = measures.token_measures(reading.logits[which]) | attention
    written = context.text.oracle_tokens[which]
    return {
        "consultation": which,
        "position": at,
        "normalized_position": at / length,
        "context_tokens": end,
        "oracle_tokens": written,
        "oracle_tokens_normalized": written / length,
        **{name: None if math.isnan(value) else value for name, value in values.items()},
    }


def _rows(folder: Path, count: int) -> list[list[Row]]:
    """Read the parts again: the rows of each of `count` texts."""
    found: list[list[Row]] = [[] for _ in range(count)]
    for part in parquet.parts(folder):
        for row in part.to_pylist():
            found[row.pop("text")].append(row)
    return found
