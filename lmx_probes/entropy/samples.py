"""What is scored of a run: the texts that it logged, with traces where there are any, or the task's own answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, few, unknown
from lmx_files.runs.folders import Run, read_run, run_of_samples
from lmx_files.runs.join import read_traces, texts_of
from lmx_probes.entropy.gold import calls_of, gold_of, is_page, prompt_of
from lmx_probes.entropy.inputs import Inputs, Item, Writer

Choose = Callable[[Run, str], str | None]


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
        path: a folder, a results file or a samples file.
        texts: ``logged``: what the run wrote; ``gold``: the task's own answers; None: prompts only.
        task: only this one. metric: names the metric that says what is right, for a run and task.
        limit: so many documents of each task.

    Raises:
        UserError: no run there, no samples of the task, samples without text, several tasks of different metrics.
    """
    run = run_of_samples(path) if path.suffix == ".jsonl" else read_run(path)
    if traces is not None:
        if not traces.is_file():
            raise UserError(f"there is no traces file {traces}")
        run = replace(run, traces_file=traces)
    if not run.sample_files:
        raise UserError(f"{run.file} has no samples beside it: run with --log_samples, or with `lmx run`")
    if task is not None and task not in run.sample_files:
        raise unknown("task", task, run.sample_files)
    names = [task] if task else list(run.sample_files)
    chosen = {name: metric(run, name) if metric and texts == "logged" else None for name in names}
    if len(set(chosen.values())) > 1:
        raise UserError(
            f"the tasks are mixed: {few(names)} are judged by different metrics "
            f"({few(sorted(set(map(str, chosen.values()))))}). Choose one with --task"
        )
    found = Inputs([], list(run.notes), writer_of(run))
    found.files = list(dict.fromkeys([run.file, *(run.sample_files[name] for name in names)]))
    left: Counter[str] = Counter()
    for name in names:
        found.items += _of_task(run, name, texts, filter_name, chosen[name], found.notes, left, limit)
    found.notes += [f"{count} {why}: left out" for why, count in left.items()]
    if texts == "logged":
        found.files += [file for file in run.trace_files() if file not in found.files]
    if not found.items:
        why = f"nothing to score in {few(names)}: {few(found.notes)}" if left else f"no sample of {few(names)} is there"
        raise UserError(f"{run.file}: {why}")
    return found


def writer_of(run: Run) -> Writer | None:
    """Return which model wrote a run's texts, and how it was loaded; None where its results do not name one."""
    config = run.results.get("config") or {}
    given = config.get("model_args") or {}
    if isinstance(given, str):  # as plain lm_eval keeps them
        given = dict(part.strip().split("=", 1) for part in given.split(",") if "=" in part)
    name = run.decoding.get("model") or given.get("pretrained") or run.results.get("model_name")
    if not name:
        return None
    dtype = str(config.get("model_dtype") or given.get("dtype") or "").removeprefix("torch.")
    known = dtype if dtype not in ("", "auto") else None
    return Writer(str(name), given, known, str(config.get("model_sha") or "") or None)


def _of_task(
    run: Run, task: str, texts: str | None, filter_name: str | None, metric: str | None, notes: list[str],
    left: Counter[str], limit: int | None,
) -> Iterator[Item]:  # fmt: skip
    path, seen = run.sample_files[task], dict[str, None]()
    config = (run.results.get("configs") or {}).get(task) or {}
    logged = _Logged(run, task, metric, config) if texts == "logged" else None
    chosen, documents = filter_name, 0
    for sample in run.samples(task):
        seen[sample["filter"]] = None
        chosen = sample["filter"] if chosen is None else chosen
        if sample["filter"] != chosen or (limit is not None and documents >= limit):
            continue
        documents += 1
        calls, about = calls_of(sample, path), (task, sample["doc_id"])
        if logged is not None:
            yield from logged.items(sample, calls, left)
        elif texts == "gold":
            if (found := gold_of(sample, calls, config, bool(run.results.get("chat_template")))) is None:
                left[f"documents of {task} name no answer as text (target)"] += 1
            else:
                yield Item(*found, *about)
        elif (prompt := prompt_of(calls)) is None:
            why = "are pages" if is_page(calls) else "have a prompt for each choice"
            left[f"documents of {task} {why}, so there is no prompt to write behind"] += 1
        else:
            yield Item(prompt, None, *about)
    if chosen is not None and seen and chosen not in seen:
        raise unknown("filter", chosen, seen)
    if logged is not None:
        notes += logged.notes()


class _Logged:
    """The texts that a run logged of one task."""

    def __init__(self, run: Run, task: str, metric: str | None, config: Mapping[str, Any]) -> None:
        self.run, self.task, self.metric, self.config = run, task, metric, config
        self.path = run.sample_files[task]
        self.traces = read_traces(run, lambda line: line["trace"])
        self.unjudged = 0
        """Texts of documents that have a value, and none of their own."""

    def items(self, sample: dict[str, Any], calls: Any, left: Counter[str]) -> Iterator[Item]:
        """Yield the items of a document's texts.

        Raises:
            UserError: likelihoods were logged.
        """
        texts = texts_of(sample, self.path)
        if texts is None:
            raise UserError(
                f"{self.path}, document {sample['doc_id']}: it holds likelihoods, not texts: score the task's own "
                "answers with --texts gold"
            )
        prompt = prompt_of(calls)
        if prompt is None:
            raise UserError(f"{self.path}, document {sample['doc_id']}: it has several prompts, so its texts have none")
        lines = self.traces.take(self.task, sample, texts)
        values = self._values(sample, len(texts))
        if not texts:
            left[f"documents of {self.task} have no text"] += 1
        for repeat, (text, trace) in enumerate(zip(texts, lines, strict=True)):
            if text:
                yield item_of(prompt, text, (self.task, sample["doc_id"]), repeat, values[repeat], trace)
            else:
                left[f"texts of {self.task} are empty"] += 1

    def _values(self, sample: dict[str, Any], count: int) -> list[float]:
        """Return what the metric says of each text: of the first alone, unless it holds a value for each."""
        value = self.run.metrics_of(sample).get(self.metric) if self.metric else None
        if isinstance(value, list) and len(value) == count:
            values = [_number(each) for each in value]
        else:
            together = count > 1 and self._of_all(sample)
            values = [math.nan if together else _number(value), *[math.nan] * (count - 1)][:count]
            if not math.isnan(_number(value)):
                self.unjudged += count if together else max(0, count - 1)
        return values

    def _of_all(self, sample: dict[str, Any]) -> bool:
        """Whether the metric is of a document's texts together: of all that the filter leaves, or of their vote."""
        kept = sample.get("filtered_resps")
        if isinstance(kept, list) and kept and isinstance(kept[0], list) and len(kept[0]) > 1:
            return True
        filters = self.config.get("filter_list") or []
        steps = [f for f in filters if isinstance(f, dict) and f.get("name") == sample["filter"]]
        return any("vote" in str(step.get("function")) for each in steps for step in each.get("filter") or [])

    def notes(self) -> list[str]:
        """Return what a reader should know of them all."""
        found = [f"{why}: these are encoded again" for why in self.traces.left_out()] if self.traces.found else []
        if self.unjudged:
            found.append(
                f"{self.task}: {self.metric} is not of each text but of its document (of the first text, or of all "
                f"together), so {self.unjudged} texts count neither as right nor as wrong"
            )
        return found


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
