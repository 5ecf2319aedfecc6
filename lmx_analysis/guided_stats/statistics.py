"""From guided runs to one row a consultation: measured under the base that the run used."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lmx_analysis.guided.export import record, whole
from lmx_analysis.guided.runs import (
    GuidedText,
    choose_metric,
    choose_tasks,
    fill_missing,
    find_guided_runs,
    guided_texts,
    metric_in,
    metric_value,
    settings_of,
)
from lmx_analysis.guided_stats import measures
from lmx_analysis.guided_stats.contexts import Context, batches, context_of
from lmx_files.errors import UserError, few, unknown
from lmx_files.runs.folders import Run

MODES = ("corrected", "seed")
FEW_DOCUMENTS = 10
REMOTE = ("openai:", "http://", "https://")


@dataclass(frozen=True)
class Base:
    """The base model, loaded: a causal language model of transformers and its tokenizer.

    Attributes:
        reader: runs it over given tokens, see `lmx_probes.attention.Reader`. Analyses run no model: it is handed in.
    """

    model: Any
    tokenizer: Any
    name: str
    note: str
    reader: Reader

    def facts(self) -> dict[str, str]:
        """Return what the results tell of the base."""
        kind, model = type(self.model).__name__, self.model
        return {
            "name": self.name, "note": self.note, "class": kind, "dtype": str(model.dtype), "device": str(model.device),
        }  # fmt: skip


class Reading(Protocol):
    """What one text's forward gave, see `lmx_probes.attention.Reading`."""

    logits: Any
    query: Any
    key: Any
    visible: Any
    scaling: Any


class Reader(Protocol):
    """Gives what a base computed for whole texts."""

    def read(self, texts: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> Sequence[Any]:
        """Return a `Reading` a text, with logits at its positions."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        mode: ``corrected``, or ``seed`` for the study's columns with their flaws; see `measures`.
        base: a name to load instead of the run's, e.g. where its folder has moved.
        task, metric, filter: as for the curve. batch_size: texts in one forward.
    """

    mode: str = "corrected"
    base: str | None = None
    task: str | None = None
    metric: str | None = None
    filter: str | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("--mode", self.mode, MODES)


@dataclass
class Statistics:
    """The result.

    Attributes:
        base: facts about the model that measured, see `Base.facts`.
        rows: one a consultation, tidy. answers: one a text, the study's fields with `analysis_result` and `acc`.
        correct: `acc` of each text by document and text (number of the run, repeat). row_texts: the text of each row.
        inputs: the files that were read, with hashes, where the runs themselves are not at hand.
    """

    options: Options
    runs: list[Run]
    tasks: list[str]
    metric: str
    base: dict[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    correct: dict[tuple[Hashable, Hashable], float] = field(default_factory=dict)
    row_texts: list[Hashable] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)


Load = Callable[[str], Base]
Track = Callable[[Sequence[list[int]]], Iterable[list[int]]]


def guided_statistics(
    paths: Sequence[str | Path], options: Options, load: Load, traces: Path | None = None, track: Track = iter
) -> Statistics:
    """Measure every consultation of the guided runs at `paths`.

    Args:
        load: loads the model of a name. track: may show progress over the batches.

    Raises:
        UserError: there is nothing to measure, the runs have several bases, or the base is not the run's.
    """
    runs, notes = find_guided_runs(paths, traces)
    tasks = choose_tasks(runs, options.task)
    parts = [(run, task) for run in runs for task in tasks if task in run.sample_files]
    metric = choose_metric(*parts[0], options.metric)
    settings = [settings_of(run, task) for run, task in parts]
    texts = [(number, text) for number, part in enumerate(parts) for text in guided_texts(*part, options.filter, notes)]
    if not any(text.consultations for _, text in texts):
        raise UserError("the oracle was not asked in any of these texts: give a run with c and k above 0")
    base = load(_base_name(options, settings))
    found = Statistics(options, runs, tasks, metric, base.facts(), notes=notes)
    contexts = [
        context_of(text, base.tokenizer, base.name, bool(parts[number][0].decoding.get("truncated_prompts")))
        for number, text in texts
    ]
    results = _measure(contexts, base.reader, options, track)
    for (number, text), result, acc in zip(texts, results, _correct(found, [t for _, t in texts]), strict=True):
        of_text = settings[number]
        of_run = runs.index(parts[number][0])
        which = (of_run, text.repeat)
        found.correct[(text.task, text.doc_id), which] = acc
        found.row_texts += [which] * len(result)
        found.answers.append(record(text, of_text) | {"analysis_result": result, "acc": acc})
        found.rows += [_about(parts[number][0], text, of_text) | each | {"acc": acc, "run": of_run} for each in result]
    _say(found, settings, contexts)
    return found


def _correct(found: Statistics, texts: Sequence[GuidedText]) -> list[float]:
    """Return the metric of each text; one without it has the worst value there is."""
    values = np.array([metric_value(text.values, found.metric) for text in texts])
    filled, worst = fill_missing(values, found.metric, metric_in(found.runs, found.tasks, found.metric))
    if not math.isnan(worst):
        lost = int(np.isnan(values).sum())
        found.notes.append(f"{lost} of {len(values)} texts have no {found.metric}: they count as {worst:g}")
    return [float(value) for value in filled]


def _base_name(options: Options, settings: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(each["base"] for each in settings))
    if len(names) > 1:
        raise UserError(f"the runs have several bases: {few(names)}. Give runs of one of them")
    if options.base is None and names[0].startswith(REMOTE):
        raise UserError(
            f"the base {names[0]} is an endpoint, whose attention nobody sees: name its weights with --base"
        )
    return options.base or names[0]


def _measure(contexts: Sequence[Context], reader: Reader, options: Options, track: Track) -> list[list[dict[str, Any]]]:
    """Return the measurements of each context's consultations, in order."""
    results: list[list[dict[str, Any]]] = [[] for _ in contexts]
    for batch in track(batches(contexts, options.batch_size)):
        chosen = [contexts[number] for number in batch]
        readings = reader.read([each.tokens for each in chosen], [each.positions for each in chosen])
        for number, context, reading in zip(batch, chosen, readings, strict=True):
            results[number] = [
                _consultation(context, reading, which, options.mode) for which in range(len(context.positions))
            ]
    return results


def _consultation(context: Context, reading: Reading, which: int, mode: str) -> dict[str, Any]:
    at, position = context.at[which], context.positions[which]
    end = position + 1
    if mode == "seed":
        attention = measures.seed(
            reading.query[:, :end], reading.key[:, :end], reading.visible[:end, :end], reading.scaling
        )
    else:
        attention = measures.corrected(
            reading.query[:, position], reading.key[:, :end], reading.visible[position, :end], reading.scaling
        )
    values = measures.token_measures(reading.logits[which]) | attention
    return {
        "consultation": which,
        "position": at,
        "normalized_position": at / len(context.text.tokens),
        "context_tokens": end,
        "oracle_tokens": context.text.consultations[which]["tokens"],
        "oracle_tokens_normalized": context.text.consultations[which]["tokens"] / len(context.text.tokens),
        **{name: None if math.isnan(value) else value for name, value in values.items()},
    }


def _about(run: Run, text: GuidedText, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what tells one text from another in the tidy table."""
    return {
        "task": text.task,
        "doc_id": text.doc_id,
        "repeat": text.repeat,
        "seed": run.decoding.get("seed"),
        "policy": settings["policy"],
        "c": str(whole(settings["c"])),
        "k": str(whole(settings["k"])),
    }


def _say(found: Statistics, settings: Sequence[dict[str, Any]], contexts: Sequence[Context]) -> None:
    asked = sum(bool(context.at) for context in contexts)
    found.notes.append(
        f"{len(found.rows)} consultations in {asked} of {len(contexts)} texts, read by {found.base['name']} "
        f"({found.base['note']})"
    )
    if found.base["name"] != settings[0]["base"]:
        found.notes.append(
            f"the runs name the base {settings[0]['base']}; measured is {found.base['name']}, as --base says"
        )
    if len({(each["policy"], str(each["c"]), str(each["k"])) for each in settings}) > 1:
        found.notes.append(
            "runs of several policies or budgets are pooled; correlations may come from what sets them apart"
        )
    sides = [
        {(row["task"], row["doc_id"]) for row in found.rows if (row["acc"] >= 1) == right} for right in (True, False)
    ]
    if min(map(len, sides)) < FEW_DOCUMENTS:
        found.notes.append(
            f"consultations in {len(sides[0])} documents with a right answer and {len(sides[1])} with a wrong one: "
            f"with fewer than {FEW_DOCUMENTS} of either the intervals of the correlations are rough"
        )
    counts = sorted((len(context.at) for context in contexts if context.at), reverse=True)
    if counts[0] != counts[-1]:
        tenth = max(1, len(counts) // 10)
        found.notes.append(
            f"each consultation counts the same, and texts have {counts[-1]} to {counts[0]}: the {tenth} with the most "
            f"hold {sum(counts[:tenth]) / sum(counts):.0%} of them, so correlations are those of consultations, not of "
            "texts"
        )
    if any(each.get("handover") == "text" for each in settings):
        found.notes.append("the oracle has another tokenizer: its words are counted and read in the base's tokens")
    if any(each.get("discard") for each in settings):
        found.notes.append("base tokens that were thrown away before a consultation are not part of the context")
