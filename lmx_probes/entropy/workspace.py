"""The folder of one measurement: what was asked for, which parts are done, where each lies.

data/plan.json                       all that a number depends on; another measurement is refused
data/texts/shared/part-*.parquet     one row a text: task, document, prompt, text, what is right; where models
                                     write their own, a folder for each instead of `shared`
data/tokens/MODEL/part-*.parquet     one row a scored token
data/pairs/A..B/part-*.parquet       one row a scored token, two models
data/hidden/MODEL/                   states and head, until the pairs are written
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import atomic, jsonl
from lmx_files.errors import UserError, few
from lmx_files.parquet import Parts
from lmx_files.reading import reason
from lmx_probes.entropy import schemas
from lmx_probes.entropy.hidden import HiddenStore

PART_TOKENS, PART_TEXTS = 8_192, 2_048
PLAN, FOLDERS = "plan.json", ("tokens", "texts", "pairs", "hidden")


@dataclass(frozen=True)
class Workspace:
    """The files of a measurement below `folder`."""

    folder: Path

    @property
    def data(self) -> Path:
        """Where measurements lie."""
        return self.folder / "data"

    def tokens(self, model: str) -> Parts:
        """Return the parts of one model's tokens."""
        return Parts(self.data / "tokens" / model, schemas.tokens())

    def texts(self, model: str = "shared") -> Parts:
        """Return the parts of the texts: those that one model wrote, or those that all models read."""
        return Parts(self.data / "texts" / model, schemas.texts())

    def pair(self, a: str, b: str) -> Parts:
        """Return the parts of what two models differ in."""
        return Parts(self.data / "pairs" / f"{a}..{b}", schemas.pairs())

    def hidden(self, model: str) -> HiddenStore:
        """Return the store of one model's hidden states."""
        return HiddenStore(self.data / "hidden" / model)

    def begin(self, plan: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
        """Begin, or go on with, the measurement of `plan`; return the plan with what was `fresh` when it began.

        Raises:
            UserError: the folder holds another measurement, or a `data` that is none.
        """
        path = self.data / PLAN
        if path.is_file():
            known = jsonl.read_object(path)
            changed = [name for name in plan if known.get(name) != _plain(plan[name])]
            if changed:
                raise UserError(
                    f"{self.folder} holds another measurement ({', '.join(changed)} differ): name another "
                    "--output_dir, or remove that folder"
                )
            for draft in self.data.rglob(".*.part"):  # of files that were being written when an attempt was killed
                draft.unlink(missing_ok=True)
            return known
        self._refuse_foreign()
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            whole = {**_plain(dict(plan)), **_plain(dict(fresh))}
            atomic.write(path, json.dumps(whole, indent=2, ensure_ascii=False) + "\n", sync=True)
        except OSError as error:
            raise UserError(f"cannot write into {self.folder}: {reason(error)}. Choose another --output_dir") from error
        return whole

    def undo(self) -> str:
        """Remove what was made since `begin` if not one part was finished: a mistake then leaves nothing behind.

        Nothing but a measurement's own files and folders is touched. Returns in words what stays, if anything does.
        """
        parts = len(list(self.data.glob("tokens/*/part-*.parquet")))
        if parts:
            size, hidden = (sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
                            for folder in (self.data, self.data / "hidden"))  # fmt: skip
            return (
                f"{parts} finished parts stay in {self.data} ({size:,.0f} MB, hidden states {hidden:,.0f} MB of it): "
                "the same command goes on with them. Remove the folder if it is not to go on"
            )
        for name in FOLDERS:
            shutil.rmtree(self.data / name, ignore_errors=True)
        (self.data / PLAN).unlink(missing_ok=True)
        for folder in (self.data, self.folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        return ""

    def _refuse_foreign(self) -> None:
        """Refuse a `data` of somebody else: a measurement that is undone or removed must not take it along."""
        found = sorted(each.name for each in self.data.iterdir()) if self.data.is_dir() else []
        foreign = [name for name in found if not (name.startswith(f".{PLAN}.") and name.endswith(".part"))]
        if foreign:
            raise UserError(
                f"{self.data} is there and is no measurement (it holds {few(foreign, 3)}): name another --output_dir"
            )

    def forget_hidden(self) -> None:
        """Remove hidden states and heads, which only pairs need."""
        shutil.rmtree(self.data / "hidden", ignore_errors=True)


def split(scored: Sequence[int]) -> list[range]:
    """Cut texts with so many scored tokens into parts, in order, the same for every model that shares their tokens."""
    parts, begin, tokens = [], 0, 0
    for i, count in enumerate(scored):
        if i > begin and (tokens + count > PART_TOKENS or i - begin == PART_TEXTS):
            parts.append(range(begin, i))
            begin, tokens = i, 0
        tokens += count
    return [*parts, range(begin, len(scored))] if len(scored) > begin else parts


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
