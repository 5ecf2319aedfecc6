"""What `--metadata` may ask of the counting tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.values import is_none, read_int, read_text, shown
from lmx_plugins.evaluation.asked import asked
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.templates import FORMATS, POSITIONS
from lmx_tasks.category_counting.words import LISTS
from lmx_tasks.common import data_file

SEED = 20261125
"""Of the items; every user gets the same ones."""
DEFAULT_N = 500
_RANGE = re.compile(r"\s*(\d+)\s*(?:-|\.\.|to)\s*(\d+)\s*")


@dataclass(frozen=True)
class Settings:
    """Which items a task asks about.

    Attributes:
        n, seed, design, lists: as `making.systematic.make` takes them. data_file: items of one's own; then the
            others say nothing.
    """

    n: int
    seed: int
    design: Design
    lists: str
    data_file: str | None = None

    def as_key(self) -> dict[str, Any]:
        """Return all that the items follow from, as JSON has it."""
        return asdict(self)


def read(metadata: Mapping[str, Any]) -> Settings:
    """Read the settings from a task's metadata and `--metadata`: n, seed (or items_seed), lengths, counts, format,
    position, lists, data_file. Other names, of which lm_eval adds the model's arguments, are passed over.

    Raises:
        UserError: a value is not one that the setting has.
    """
    default = Design()
    design = Design(
        lengths=_numbers("lengths", metadata.get("lengths"), default.lengths),
        counts=_numbers("counts", metadata.get("counts"), default.counts),
        positions=_names("position", metadata.get("position"), POSITIONS, "both", default.positions),
        formats=_names("format", metadata.get("format"), tuple(FORMATS), "all", default.formats),
    )
    design.cells()  # lengths that cannot be asked for are an error now
    lists = read_text("lists", metadata.get("lists", "full"))
    if lists not in LISTS:
        raise unknown("word lists", lists, LISTS)
    return Settings(
        n=read_int("n", metadata.get("n", DEFAULT_N), least=1),
        seed=_seed(metadata),
        design=design,
        lists=lists,
        data_file=_data_file(metadata),
    )


def _data_file(metadata: Mapping[str, Any]) -> str | None:
    """Return the file of items that was asked for: by itself, or as `<data_dir>/category_counting/items.jsonl`."""
    if not is_none(metadata.get("data_file")):
        return read_text("data_file", metadata["data_file"])
    nothing = Path()
    place = data_file("category_counting", "items.jsonl", nothing, metadata.get("data_dir"))
    return None if place == nothing else str(place)


def _seed(metadata: Mapping[str, Any]) -> int:
    """Return the items' seed. lm_eval puts the model's arguments among the metadata, and models have a seed too."""
    if metadata.get("items_seed") is not None:
        return read_int("items_seed", metadata["items_seed"], least=0)
    if metadata.get("seed") is not None and "seed" not in asked().model_arguments():
        return read_int("seed", metadata["seed"], least=0)
    return SEED


def _numbers(name: str, value: Any, default: tuple[int, ...]) -> tuple[int, ...]:
    """Read ``7``, ``"5-15"``, ``"10,20"`` or a list of these."""
    if is_none(value):
        return default
    found: list[int] = []
    for entry in _entries(value):
        if isinstance(entry, str) and (match := _RANGE.fullmatch(entry)):
            first, last = int(match[1]), int(match[2])
            if first > last or last > 10_000:
                raise UserError(f"{name}={shown(value)}: {entry} is no range: write it as 5-15")
            found += range(first, last + 1)
        else:
            found.append(read_int(name, entry, least=0))
    if not found:
        raise UserError(f"{name}={shown(value)} names no number: write it as 5-15 or [5, 10, 20]")
    return tuple(dict.fromkeys(found))


def _names(name: str, value: Any, valid: Sequence[str], every: str, default: tuple[str, ...]) -> tuple[str, ...]:
    if is_none(value):
        return default
    found = [read_text(name, entry).strip() for entry in _entries(value)]
    if found == [every]:
        return tuple(valid)
    for entry in found:
        if entry not in valid:
            raise unknown(name, entry, [*valid, every])
    if not found:
        raise UserError(f"{name}={shown(value)} names none of {', '.join(valid)}")
    return tuple(dict.fromkeys(found))


def _entries(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [entry.strip() for entry in value.split(",") if entry.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]
