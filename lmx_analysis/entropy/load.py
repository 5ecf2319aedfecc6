"""Reads what `lmx_probes` measured: a folder's ``data/``. See docs/analyses/entropy.md for the columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_files import jsonl, parquet
from lmx_files.errors import UserError

TOKEN_COLUMNS = (
    "text", "task", "doc_id", "correct", "position", "current_token", "next_token", "next_id", "entropy",
    "probability_of_next_token", "surprisal", "varentropy", "rank", "margin", "source", "fill_step",
)  # fmt: skip


class Tables(Mapping[str, pd.DataFrame]):
    """The tokens of each model, read when they are asked for.

    They stay in memory as long as all take `KEPT_BYTES`, and those of the last two models in any case.
    """

    KEPT_BYTES = 1 << 30

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, list(names)
        self._kept: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        found = self._kept.pop(name, None)
        if found is None:
            while len(self._kept) > 1 and self._size() > self.KEPT_BYTES:
                del self._kept[next(iter(self._kept))]
            found = parquet.read(self._folder / name, TOKEN_COLUMNS).to_pandas()
        self._kept[name] = found  # last: the one used longest ago goes first
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _size(self) -> int:
        return sum(int(table.memory_usage().sum()) for table in self._kept.values())


@dataclass(frozen=True)
class Measurement:
    """A finished measurement in `folder`. plan: what was asked for, see ``data/plan.json``."""

    folder: Path
    plan: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The models, in the order in which they were given."""
        return [str(model["name"]) for model in self.plan["models"]]

    @property
    def stamp(self) -> str:
        """The time stamp of the files."""
        return str(self.plan["stamp"])

    @property
    def shared(self) -> bool:
        """Whether all models read the same texts."""
        return self.plan["mode"] == "teacher"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of models that were compared token by token."""
        every = itertools.combinations(self.names, 2)
        return [(a, b) for a, b in every if parquet.numbers(self.folder / "data" / "pairs" / f"{a}..{b}")]

    @cached_property
    def tokens(self) -> Mapping[str, pd.DataFrame]:
        """One row a scored token, for each model."""
        return Tables(self.folder / "data" / "tokens", self.names)

    @cached_property
    def texts(self) -> dict[str, pd.DataFrame]:
        """One row a text, for each model (the same one where they share them)."""
        if self.shared:
            return dict.fromkeys(self.names, parquet.read(self.folder / "data" / "texts" / "shared").to_pandas())
        return {name: parquet.read(self.folder / "data" / "texts" / name).to_pandas() for name in self.names}

    def pair(self, a: str, b: str) -> pd.DataFrame:
        """One row a scored token of a pair."""
        return parquet.read(self.folder / "data" / "pairs" / f"{a}..{b}").to_pandas()

    def documents(self, name: str) -> NDArray[np.intp]:
        """Return a number for the document of each text: texts of one document are not independent."""
        texts = self.texts[name]
        if not texts["task"].any():
            return np.arange(len(texts))
        return texts.groupby(["task", "doc_id"], sort=False).ngroup().to_numpy().astype(np.intp)


def load(folder: Path) -> Measurement:
    """Open the measurement in `folder`.

    Raises:
        UserError: there is none, or it is not finished.
    """
    plan = folder / "data" / "plan.json"
    if not plan.is_file():
        raise UserError(f"{folder} holds no measurement (no data/plan.json): make one with `lmx entropy`")
    found = Measurement(folder, jsonl.read_object(plan))
    for name in found.names:
        if not parquet.numbers(folder / "data" / "tokens" / name):
            raise UserError(f"the measurement in {folder} is not finished: start the same `lmx entropy` again")
    return found
