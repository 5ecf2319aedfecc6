"""What is scored: prompts and texts. Those of a file of prompts are read here, those of runs in `samples`.

Files only; nothing here knows of models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text

DEFAULT_PROMPTS = Path(__file__).parent / "prompts.jsonl"
TEXTS = ("logged", "gold")


@dataclass(frozen=True)
class Item:
    """One prompt, and the text behind it that is scored (None where models write their own).

    Attributes:
        tokens: ids of the text as the run logged them, with the run's `prompt_tokens`; None where nothing says them.
        sources: who wrote which of them, as (source, begin, end). steps: the forward that filled each, of diffusion.
        recorded: values that the run kept of each token while it wrote, by name; see ``record=``.
        correct: the metric's value; NaN where there is none.
    """

    prompt: str
    text: str | None
    task: str = ""
    doc_id: int = 0
    repeat: int = 0
    correct: float = math.nan
    tokens: tuple[int, ...] | None = None
    prompt_tokens: int | None = None
    sources: tuple[tuple[str, int, int], ...] = ()
    steps: tuple[int, ...] = ()
    recorded: Mapping[str, Any] | None = field(default=None, hash=False)

    def key(self) -> str:
        """Return what tells this item from others, as text: all that measurements depend on."""
        values = asdict(self) | {"correct": None if math.isnan(self.correct) else self.correct}
        return json.dumps(values, sort_keys=True, ensure_ascii=True)

    @property
    def where(self) -> str:
        """Name the item for a message."""
        return f"document {self.doc_id} of {self.task}" if self.task else f"prompt {self.doc_id + 1}"


@dataclass(frozen=True)
class Writer:
    """The model of a run, as far as its results tell.

    Attributes:
        name: as the user gave it. arguments: its ``--model_args``. dtype: of its weights, e.g. ``float32``. commit: of
            the Hub. None, or empty, where nothing says it.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    commit: str | None = None


@dataclass
class Inputs:
    """Items in order, and what a reader should know of them. `writer`: of the run; `files`: what was read."""

    items: list[Item]
    notes: list[str] = field(default_factory=list)
    writer: Writer | None = None
    files: list[Path] = field(default_factory=list)

    def digest(self) -> str:
        """Return a hash of all items."""
        return sha256_of_text("\n".join(item.key() for item in self.items))


def from_prompts(path: Path, texts: bool) -> Inputs:
    """Read prompts: JSON lines with ``prompt`` (and ``text`` or ``completion``), or plain text, one a line.

    Args:
        texts: each needs a text, because it is to be scored.

    Raises:
        UserError: the file is unreadable or empty, or a line has no prompt, or no text where one is needed.
    """
    if not path.is_file():
        raise UserError(f"there is no prompts file {path}: name a .jsonl with prompt (and text), or a .txt")
    items: list[Item] = []
    if path.suffix == ".jsonl":
        for number, line in jsonl.numbered(path, "a prompts file", last="take"):
            prompt, text = line.get("prompt"), line.get("text", line.get("completion"))
            if not isinstance(prompt, str) or not (text is None or isinstance(text, str)):
                raise UserError(f"{path}, line {number}: it needs prompt (a text), and may have text")
            if texts and not text:
                raise UserError(
                    f"{path}, line {number}: there is no text to score: add text, or let the models write with "
                    "--mode generate"
                )
            task = str(line.get("task", ""))
            items.append(Item(prompt, text if texts else None, task, len(items)))
    else:
        if texts:
            raise UserError(f"{path} has no texts to score: give .jsonl with prompt and text, or --mode generate")
        items = [Item(line, None, "", number) for number, line in enumerate(_lines(path)) if line.strip()]
    if not items:
        raise UserError(f"{path} is empty: give at least one prompt")
    return Inputs(items, files=[path])


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file: they end with a line feed and nothing else, for a prompt may hold U+2028."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return [line.removesuffix("\r") for line in text.split("\n")]


def check_unique(names: Sequence[str] | Iterable[str]) -> None:
    """Refuse names of models that stand twice, after what no file name may hold is replaced."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"two models are called {name!r}: give each its own with --model_names")
        seen.add(name)
