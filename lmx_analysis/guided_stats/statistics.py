"""From guided runs to one row a consultation: what is to be measured, and its measurements beside what was right.

Nothing here runs a model: `lmx_probes.guided_stats` measures what `choose` finds, and `combine` takes the rows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from lmx_analysis.stats import Metric
from lmx_files.errors import UserError, few, unknown
from lmx_files.runs.folders import Run

MODES = ("corrected", "seed")
FEW_DOCUMENTS = 10
REMOTE = ("openai:", "http://", "https://")
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        mode: ``corrected``, or ``seed`` for the study's columns with their flaws; see `lmx_probes.guided_stats`.
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


@dataclass(frozen=True)
class Asked:
    """One answer, as the base is to read it again.

    Attributes:
        where: names it in messages. prompt: as the base was given it. prompt_tokens: how many tokens that was.
        truncated: prompts of its run may have lost their beginning. tokens: ids of the answer. written: its text.
        at: tokens of the answer before each consultation. oracle_tokens: tokens that the oracle then wrote.
    """

    where: str
    prompt: str
    prompt_tokens: int
    truncated: bool
    tokens: list[int]
    written: str
    at: list[int]
    oracle_tokens: list[int]


@dataclass(frozen=True)
class Chosen:
    """What is to be measured.

    Attributes:
        base: the model that is to read. parts: runs with a task. settings: of each part.
        texts: number of the part and answer. correct: the metric's value of each.
    """

    options: Options
    base: str
    runs: list[Run]
    tasks: list[str]
    metric: str
    parts: list[tuple[Run, str]]
    settings: list[dict[str, Any]]
    texts: list[tuple[int, GuidedText]]
    correct: list[float]
    notes: list[str]

    @property
    def asked(self) -> list[Asked]:
        """The answers, as the base is to read them."""
        return [_asked(self.parts[number][0], text) for number, text in self.texts]


@dataclass
class Statistics:
    """The result.

    Attributes:
        base: facts about the model that measured. measured_with: versions of the packages that measured.
        rows: one a consultation, tidy. answers: one a text, the study's fields with `analysis_result` and `acc`.
        correct: `acc` of each text by document and text (number of the run, repeat). row_texts: the text of each row.
        inputs: hashes of the files that were read, by path, where the runs themselves are not at hand.
    """

    options: Options
    runs: list[Run]
    tasks: list[str]
    metric: str
    base: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    correct: dict[tuple[Hashable, Hashable], float] = field(default_factory=dict)
    row_texts: list[Hashable] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    measured_with: dict[str, str] = field(default_factory=dict)


def choose(paths: Sequence[str | Path], options: Options, traces: Path | None = None) -> Chosen:
    """Find the consultations of the guided runs at `paths`.

    Raises:
        UserError: there is nothing to measure, the runs have several bases, an endpoint was the base, or texts have no
            value of the metric and nothing says what that is worth.
    """
    runs, notes = find_guided_runs(paths, traces)
    tasks = choose_tasks(runs, options.task)
    parts = [(run, task) for run in runs for task in tasks if task in run.sample_files]
    metric = choose_metric(*parts[0], options.metric)
    settings = [settings_of(run, task) for run, task in parts]
    texts = [(number, text) for number, part in enumerate(parts) for text in guided_texts(*part, options.filter, notes)]
    if not any(text.consultations for _, text in texts):
        raise UserError("the oracle was not asked in any of these texts: give a run with c and k above 0")
    base = _base_name(options, settings)
    values = [metric_value(text.values, metric) for _, text in texts]
    correct = _filled(values, metric, metric_in(runs, tasks, metric), notes)
    return Chosen(options, base, runs, tasks, metric, parts, settings, texts, correct, notes)


def combine(
    chosen: Chosen, base: Mapping[str, str], measured_with: Mapping[str, str], rows: Sequence[Sequence[Row]]
) -> Statistics:
    """Put measurements beside what was right.

    Args:
        base: facts about the model that measured. measured_with: versions of the packages that did.
        rows: of each of the chosen texts, one a consultation.
    """
    found = Statistics(
        chosen.options, chosen.runs, chosen.tasks, chosen.metric, dict(base), notes=list(chosen.notes),
        measured_with=dict(measured_with),
    )  # fmt: skip
    for (number, text), result, acc in zip(chosen.texts, rows, chosen.correct, strict=True):
        (run, _), settings = chosen.parts[number], chosen.settings[number]
        of_run = chosen.runs.index(run)
        which = (of_run, text.repeat)
        found.correct[(text.task, text.doc_id), which] = acc
        found.row_texts += [which] * len(result)
        found.answers.append(record(text, settings) | {"analysis_result": list(result), "acc": acc})
        found.rows += [_about(run, text, settings) | each | {"acc": acc, "run": of_run} for each in result]
    _say(found, chosen.settings, [text for _, text in chosen.texts])
    return found


def _asked(run: Run, text: GuidedText) -> Asked:
    where, consultations = f"document {text.doc_id} of {text.task}", text.consultations
    if not text.trace.get("prompt_tokens"):
        raise UserError(f"{where}: its trace does not say how many tokens its prompt has: run it again")
    return Asked(
        where,
        text.prompt,
        int(text.trace["prompt_tokens"]),
        bool(run.decoding.get("truncated_prompts")),
        text.tokens,
        "".join(piece for _, piece in text.line["pieces"]),
        [each["at"] for each in consultations],
        [each["tokens"] for each in consultations],
    )


def _filled(values: Sequence[float], name: str, metric: Metric, notes: list[str]) -> list[float]:
    """Return the metric of each text; one without it has the worst value there is."""
    known = np.array(values)
    filled, worst = fill_missing(known, name, metric)
    if not math.isnan(worst):
        notes.append(f"{int(np.isnan(known).sum())} of {len(known)} texts have no {name}: they count as {worst:g}")
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


def _say(found: Statistics, settings: Sequence[dict[str, Any]], texts: Sequence[GuidedText]) -> None:
    counts = sorted((n for n in (len(text.consultations) for text in texts) if n), reverse=True)
    found.notes.append(
        f"{len(found.rows)} consultations in {len(counts)} of {len(texts)} texts, read by {found.base['name']} "
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
