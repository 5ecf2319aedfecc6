"""What is scored: prompts and texts, from lm_eval's samples (with traces where there are any) or from a file.

Files only; nothing here knows of models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError, few, unknown
from lmx_files.hashing import sha256_of_text
from lmx_files.runs.folders import Run, read_run
from lmx_files.runs.join import read_traces, texts_of

DEFAULT_PROMPTS = Path(__file__).parent / "prompts.jsonl"
TEXTS = ("logged", "gold")
Choose = Callable[[Run, str], str | None]


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


@dataclass
class Inputs:
    """Items in order, and what a reader should know of them. `model`: of the run; `files`: what was read."""

    items: list[Item]
    notes: list[str] = field(default_factory=list)
    model: str | None = None
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
        for number, line in jsonl.numbered(path, "a prompts file"):
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
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {path}: {error}") from error
        items = [Item(line, None, "", number) for number, line in enumerate(lines) if line.strip()]
    if not items:
        raise UserError(f"{path} is empty: give at least one prompt")
    return Inputs(items, files=[path])


def from_run(
    path: Path,
    texts: str | None,
    task: str | None = None,
    filter_name: str | None = None,
    metric: Choose | None = None,
    traces: Path | None = None,
    limit: int | None = None,
) -> Inputs:
    """Read the samples of a run, joined with the traces of their texts where there are any.

    Args:
        texts: ``logged``: what the run wrote; ``gold``: the task's own answers; None: prompts only.
        task: only this one. metric: names the metric that says what is right, for a run and task.
        limit: so many documents of each task.

    Raises:
        UserError: no run there, no samples of the task, samples without text, several tasks of different metrics.
    """
    run = read_run(path)
    if traces is not None:
        if not traces.is_file():
            raise UserError(f"there is no traces file {traces}")
        run = Run(run.file, run.stamp, run.results, run.sample_files, run.manifest, run.notes, traces)
    if not run.sample_files:
        raise UserError(f"{run.file} has no samples beside it: run with --log_samples, or with `lmx run`")
    if task is not None and task not in run.sample_files:
        raise unknown("task", task, run.sample_files)
    names = [task] if task else list(run.sample_files)
    chosen = {name: metric(run, name) if metric else None for name in names}
    if len(set(chosen.values())) > 1:
        raise UserError(
            f"the tasks are mixed: {few(names)} are judged by different metrics "
            f"({few(sorted(set(map(str, chosen.values()))))}). Choose one with --task"
        )
    found = Inputs([], list(run.notes), str(run.decoding.get("model") or run.results.get("model_name") or "") or None)
    found.files = [run.file, *(run.sample_files[name] for name in names)]
    for name in names:
        found.items += _of_task(run, name, texts, filter_name, chosen[name], found.notes, limit)
    if not found.items:
        raise UserError(f"{run.file}: the run is empty: no sample of {few(names)} was logged")
    return found


def _of_task(
    run: Run, task: str, texts: str | None, filter_name: str | None, metric: str | None, notes: list[str],
    limit: int | None,
) -> Iterator[Item]:  # fmt: skip
    path, traces = run.sample_files[task], read_traces(run, lambda line: line["trace"])
    chosen, seen, documents = filter_name, dict[str, None](), 0
    for sample in run.samples(task):
        seen[sample["filter"]] = None
        chosen = sample["filter"] if chosen is None else chosen
        if sample["filter"] != chosen or (limit is not None and documents >= limit):
            continue
        documents += 1
        logged = texts_of(sample, path)
        if logged is None and texts != "gold":
            raise UserError(
                f"{path}, document {sample['doc_id']}: it holds likelihoods, not texts: score the task's own answers "
                "with --texts gold"
            )
        if texts == "logged" and not any(logged or ()):
            notes.append(f"{task}, document {sample['doc_id']}: the text is empty, nothing to score")
            continue
        about = (task, sample["doc_id"])
        correct = _number(run.metrics_of(sample).get(metric)) if metric else math.nan
        prompt = _prompt(sample, path)
        if texts == "gold":
            yield Item(prompt, _gold(sample, path), *about)
        elif texts is None:
            yield Item(prompt, None, *about, correct=math.nan)
        else:
            lines = traces.take(task, sample, logged or [])
            for repeat, (text, trace) in enumerate(zip(logged or [], lines, strict=True)):
                if text:
                    yield item_of(prompt, text, about, repeat, correct, trace)
    if chosen is not None and seen and chosen not in seen:
        raise unknown("filter", chosen, seen)
    if texts == "logged" and traces.found:
        notes += [f"{why}: these are encoded again" for why in traces.left_out()]


def item_of(
    prompt: str, text: str, about: tuple[str, int], repeat: int, correct: float, trace: Mapping[str, Any] | None
) -> Item:
    """Return the item of a text, with what its trace says of it; ``about``: its task and document."""
    if not trace or not _whole_numbers(trace.get("tokens")):
        return Item(prompt, text, *about, repeat, correct)
    extra = trace.get("extra") or {}
    segments = tuple((str(s["source"]), int(s["begin"] if "begin" in s else s["start"]), int(s["end"]))
                     for s in trace.get("segments", ()))  # fmt: skip
    steps = extra.get("steps")
    count = trace.get("prompt_tokens")
    return Item(
        prompt, text, *about, repeat, correct, tuple(trace["tokens"]), count if isinstance(count, int) else None,
        segments, tuple(steps or ()) if _whole_numbers(steps) else (), extra.get("recorded"),
    )  # fmt: skip


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _prompt(sample: Mapping[str, Any], path: Path) -> str:
    calls = sample.get("arguments")
    first = (
        calls.get("gen_args_0") if isinstance(calls, dict) else calls[0] if isinstance(calls, list) and calls else None
    )
    prompt = first.get("arg_0") if isinstance(first, dict) else first[0] if isinstance(first, list) and first else None
    if not isinstance(prompt, str):
        raise UserError(f"{path}, document {sample['doc_id']}: not a sample as lm_eval logs it (no prompt)")
    return prompt


def _gold(sample: Mapping[str, Any], path: Path) -> str:
    target = sample.get("target")
    if isinstance(target, list):
        target = target[0] if target else None
    if not isinstance(target, (str, int, float)) or not str(target):
        raise UserError(
            f"{path}, document {sample['doc_id']}: the task gives no answer as text (target), so there is no gold"
        )
    text = str(target)
    return text if text[:1].isspace() or _prompt(sample, path)[-1:].isspace() else f" {text}"


def check_unique(names: Sequence[str] | Iterable[str]) -> None:
    """Refuse names of models that stand twice, after what no file name may hold is replaced."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"two models are called {name!r}: give each its own with --model_names")
        seen.add(name)
