"""Values that a run recorded of its own tokens while it wrote them: taken as they are, no model runs.

Entropy and the probability of the token (or its surprisal) are needed; what else was not recorded stays empty. They are
taken only where a reading would be by the same weights: the same model and revision, nothing laid over it, the same
type of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmx_files.errors import UserError
from lmx_models.zoo import catalogue
from lmx_probes import models, scores
from lmx_probes.entropy import measure
from lmx_probes.entropy.encode import TokenNames
from lmx_probes.entropy.inputs import Inputs, Item, Writer

if TYPE_CHECKING:
    from lmx_probes.entropy.measure import Scored
    from lmx_probes.entropy.workspace import Workspace

LAID_OVER = ("peft", "delta", "gguf_file", "subfolder", "tokenizer", "autogptq", "load_in_8bit", "load_in_4bit")
"""Arguments of a run's model without which it is another one."""


def from_recorded(
    inputs: Inputs, model: str, name: str, scored: Scored, work: Workspace, notes: list[str], dtype: str = "float32"
) -> bool:
    """Write the parts of one model from what its run recorded; False (and nothing written) if that is too little.

    Args:
        model: as the user named it; it must be the run's own. dtype: in which it would be read.
    """
    if inputs.writer is None or not _same(model, inputs.writer.name):
        return False
    known = recorded_columns(scored.items, [each.scored for each in scored.encoded])
    why = "its run did not record entropy and logprob of every token" if known is None else None
    why = why or difference(inputs.writer, model, dtype)
    if why is not None or known is None:
        if any(item.recorded for item in scored.items):
            notes.append(f"{name}: {why}, so the model reads the texts")
        return False
    names = TokenNames(models.tokenizer_of(model))
    parts = work.tokens(name)
    for number in measure.missing(work, name, scored):
        part = scored.parts[number]
        values = merged([values_of(scored.items[i], known) for i in part])
        parts.write(number, measure.columns(scored, part, values, None, names))
    left = [column for column in scores.COLUMNS if column not in known | DERIVED]
    empty = f"; {', '.join(left)} were not recorded and stay empty" if left else ""
    notes.append(f"{name}: taken from what the run recorded while it wrote (record=); no forward was made{empty}")
    wrote = sorted({source for item in scored.items for source, _, _ in item.sources})
    if len(wrote) > 1:
        notes.append(
            f"{name}: {' and '.join(wrote)} wrote these texts, and each token has the numbers of whoever wrote it: "
            "--forward reads all of them with this model"
        )
    return True


DERIVED = {"surprisal", "probability"}
"""Each follows from the other."""


def difference(writer: Writer, model: str, dtype: str) -> str | None:
    """Return in words why the model of a run is not the one that would read here; None where nothing says so."""
    given = {name: str(writer.arguments.get(name, "")) for name in LAID_OVER}
    over = [f"{name}={value}" for name, value in given.items() if value.lower() not in ("", "none", "false")]
    if over:
        return f"its run laid {', '.join(over)} over it"
    ours = catalogue.resolve(model).revision
    theirs = writer.commit or writer.arguments.get("revision")
    if theirs not in (None, "main") and theirs != ours:
        return f"its run took revision {theirs}, here it is {ours or 'another'}"
    if writer.dtype is not None and writer.dtype != dtype:
        return f"its run computed in {writer.dtype}, here it is {dtype} (--dtype)"
    return None


def recorded_columns(items: Sequence[Item], counts: Sequence[int]) -> set[str] | None:
    """Return which scores all items hold for each of their tokens; None where these are too few to be of use."""
    known = set(scores.COLUMNS)
    for item, count in zip(items, counts, strict=True):
        known &= {name for name in known if _complete((item.recorded or {}).get(name), count)}
    return known if "entropy" in known and known & DERIVED else None


def values_of(item: Item, known: set[str]) -> dict[str, list[Any]]:
    """Return all scores of an item's tokens; None for each that was not recorded."""
    given: Mapping[str, Any] = item.recorded or {}
    found = {name: list(given[name]) for name in known}
    count = len(found["entropy"])
    if "surprisal" not in known:
        found["surprisal"] = [-math.log(max(p, 5e-324)) for p in found["probability"]]
    if "probability" not in known:
        found["probability"] = [math.exp(-value) for value in found["surprisal"]]
    return {name: found.get(name, [None] * count) for name in scores.COLUMNS}


def merged(values: Sequence[Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    """Put the scores of several items end to end."""
    return {name: [value for each in values for value in each[name]] for name in scores.COLUMNS}


def _complete(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(type(each) in (int, float) for each in values)


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return catalogue.resolve(a).pretrained == catalogue.resolve(b).pretrained
    except UserError:
        return False
