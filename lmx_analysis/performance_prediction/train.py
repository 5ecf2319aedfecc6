"""Predictors are fitted and asked, split by split; each split is kept as soon as it is done.

One cell is one predictor on one split of one model's scores. Cells lie in a journal beside the output, by what they
were made from, so that training goes on where it was.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lmx_analysis.performance_prediction import data, protocols
from lmx_analysis.performance_prediction.data import Row
from lmx_analysis.performance_prediction.predictor import Floats, Kind, Predictor, Tasks, find
from lmx_analysis.performance_prediction.protocols import Indices, Split
from lmx_files.errors import UserError, few
from lmx_files.journal import Journal, key_of

SCALES = ("standardised", "raw")
VERSION = 1
"""Of what a cell means: finished cells of another version are made again."""


@dataclass(frozen=True)
class Options:
    """What to train.

    Attributes:
        predictors: their names. target: rougeL, exact_match or loss. scale: ``standardised`` (by the mean and standard
            deviation of the training tasks) or ``raw``.
        protocol, seeds, folds: see `protocols.splits`. model: whose scores; None for every model in the data.
        deduplicate: keep one task of each group of near-duplicate definitions. near: from which Jaccard similarity on
            two definitions are near-duplicates.
        settings: of predictors, by name.
    """

    predictors: Sequence[str]
    target: str = "rougeL"
    scale: str = "standardised"
    protocol: str = "source"
    seeds: Sequence[int] = ()
    folds: int = protocols.FOLDS
    model: str | None = None
    deduplicate: bool = False
    near: float = protocols.NEAR
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Set:
    """One model's tasks: rows, what predictors may see, true scores and variances of their means ``[n]``.

    `values`: each instance's score, empty where unknown. `groups`: the number of each task's group, for the judging.
    """

    rows: list[Row]
    tasks: Tasks
    scores: Floats
    noise: Floats
    values: list[Floats]
    groups: list[int]


@dataclass(frozen=True)
class Trained:
    """Predictions, one record for each predictor, split and task predicted; and notes."""

    records: list[dict[str, Any]]
    notes: list[str]


def train(
    rows: Sequence[Row], options: Options, folder: Path,
    progress: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Trained:  # fmt: skip
    """Predict every task that the protocol predicts, with every predictor.

    Args:
        folder: where the journal of finished cells lies. progress: wraps the list of cells.

    Raises:
        UserError: something in `options` is unknown, or the data do not have what a predictor needs.
    """
    if options.scale not in SCALES:
        raise UserError(f"unknown --targets {options.scale!r}: standardised or raw")
    kinds = [find(name) for name in dict.fromkeys(options.predictors)]
    if not kinds:
        raise UserError("no predictor is named: see lmx plugins")
    notes: list[str] = []
    cells = []
    for model in data.choose_model(rows, options.model):
        one = _set_of(rows, model, options, notes)
        usable = [kind for kind in kinds if _usable(kind, one, notes, alone=len(kinds) == 1)]
        for split in protocols.splits(one.rows, options.protocol, options.seeds, options.folds, options.near):
            cells += [(model, one, kind, split) for kind in usable]
    journal = Journal(folder / "cells")
    try:
        records = []
        for model, one, kind, split in progress(cells):
            made = _cell(one, kind, split, options, model, journal)
            records += _records(made, one, kind, split, options, model)
        with contextlib.suppress(OSError):  # not there, or another process's checkpoints are in it
            (folder / "unfinished").rmdir()
    finally:
        journal.close()
    return Trained(records, list(dict.fromkeys(notes)))


def _set_of(rows: Sequence[Row], model: str, options: Options, notes: list[str]) -> _Set:
    own = [row for row in rows if row.model == model]
    if options.deduplicate:
        first = protocols.near_duplicates([row.definition for row in own], options.near)
        kept = [row for i, row in enumerate(own) if first[i] == i]
        if len(kept) < len(own):
            notes.append(f"{len(own) - len(kept)} of {len(own)} tasks left out: their definitions are near-duplicates")
        own = kept
    data.choose_target(own, options.target)
    if options.protocol == "source" and not any(row.sources for row in own):
        notes.append(
            "no task says from which data set it was made: only near-duplicate definitions are kept together, and "
            "tasks of one source may leak (lmx perfpred build --tasks FILE)"
        )
    names = [row.task for row in own]
    others = _others(rows, names, model, options.target)
    texts = [tuple(getattr(row, name) for row in own) for name in ("task", "definition", "category")]
    scores = [row.scores[options.target] for row in own]
    return _Set(
        own, Tasks(texts[0], texts[1], texts[2], others), np.array([score.mean for score in scores]),
        np.array([score.noise for score in scores]), [np.array(score.values) for score in scores],
        protocols.groups_of(own, "source" if options.protocol == "published" else options.protocol, options.near),
    )  # fmt: skip


def _others(rows: Sequence[Row], names: list[str], model: str, target: str) -> Floats:
    """Return the tasks' scores under other models, of those models that have all of them, shape ``[n, models]``."""
    by_model: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.model != model and target in row.scores:
            by_model.setdefault(row.model, {})[row.task] = row.scores[target].mean
    columns = [[scores[name] for name in names] for scores in by_model.values() if scores.keys() >= set(names)]
    return np.array(columns, dtype=np.float64).T.reshape(len(names), len(columns))


def _usable(kind: Kind, one: _Set, notes: list[str], alone: bool) -> bool:
    """Whether the data have what a predictor needs; else a note, or an error where nothing else is asked for."""
    why = None
    if kind.needs == "others" and not one.tasks.others.shape[1]:
        why = "the data set has no other model with all of these tasks"
    elif isinstance(kind.needs, int) and not isinstance(kind.needs, bool):
        short = [row.task for row, each in zip(one.rows, one.values, strict=True) if each.size < kind.needs + 2]
        if short:
            why = f"it needs the scores of at least {kind.needs + 2} instances a task, and {few(short, 2)} has fewer"
    if why and alone:
        raise UserError(f"{kind.name} cannot be tried: {why}")
    if why:
        notes.append(f"{kind.name} left out: {why}")
    return why is None


def _cell(
    one: _Set, kind: Kind, split: Split, options: Options, model: str, journal: Journal
) -> dict[str, list[float]]:
    """Return true scores, predictions, the mean's and the noise of the tasks of one split's test part."""
    settings = options.settings.get(kind.name, {})
    what = {
        "version": VERSION, "predictor": kind.name, "settings": settings, "scale": options.scale, "model": model,
        "target": options.target, "split": [split.seed, split.fold, *(part.tolist() for part in _parts(split))],
        "tasks": [[*texts] for texts in zip(one.tasks.names, one.tasks.definitions, one.tasks.categories, strict=True)],
        "scores": one.scores.tolist(), "others": one.tasks.others.tolist() if kind.needs == "others" else None,
    }  # fmt: skip
    key = key_of(what)
    if key not in journal:
        checkpoints = journal.folder.parent / "unfinished" / key[:16]
        journal.add(key, _fitted(one, kind, split, options, settings, _Tries(journal, what, checkpoints)))
        journal.sync()
        shutil.rmtree(checkpoints, ignore_errors=True)
    return journal[key]


@dataclass(frozen=True)
class _Tries:
    """The settings of a cell's grid that were tried are journaled too: a grid that was interrupted goes on."""

    journal: Journal
    cell: dict[str, Any]
    checkpoints: Path

    def once(
        self, number: int, chosen: dict[str, Any], fit: Callable[[Path], dict[str, list[float]]]
    ) -> dict[str, list[float]]:
        """Return what `fit` made of one setting, now or before; it is given a folder for its checkpoints."""
        key = key_of(self.cell | {"tried": chosen})
        if key not in self.journal:
            self.journal.add(key, fit(self.checkpoints / str(number)))
            self.journal.sync()
        return self.journal[key]


def _parts(split: Split) -> tuple[Indices, Indices, Indices]:
    return split.train, split.dev, split.test


def _fitted(
    one: _Set, kind: Kind, split: Split, options: Options, settings: dict[str, Any], tries: _Tries
) -> dict[str, list[float]]:
    tasks, scores, noise = one.tasks, one.scores, one.noise
    if isinstance(kind.needs, int):
        tasks, scores, noise = _with_pilots(one, kind.needs, split.seed)
    learns = kind.uses_dev or len(kind.grid) > 1 or options.protocol == "published"
    train = split.train if learns else np.union1d(split.train, split.dev)
    centre = float(scores[train].mean())
    spread = float(scores[train].std()) or 1.0
    shift, scale = (centre, spread) if options.scale == "standardised" else (0.0, 1.0)
    dev = (tasks.of(split.dev), (scores[split.dev] - shift) / scale) if learns and split.dev.size else None

    def fit(chosen: dict[str, Any], checkpoints: Path) -> dict[str, list[float]]:
        more = {"checkpoints": checkpoints} if kind.resumes else {}
        predictor = _made(kind, split.seed, {**chosen, **more})
        predictor.fit(tasks.of(train), (scores[train] - shift) / scale, dev)
        error = 0.0
        if dev is not None:
            error = float(np.square(np.asarray(predictor.predict(dev[0])) - dev[1]).mean())
        predicted = _checked(predictor.predict(tasks.of(split.test)), split.test.size, kind)
        return {"error": [error], "predicted": predicted.tolist()}

    grid = _distinct(kind, settings)
    if len(grid) == 1:
        best, tried = 0, [fit(grid[0], tries.checkpoints / "0")]
    else:
        tried = [tries.once(i, chosen, partial(fit, chosen)) for i, chosen in enumerate(grid)]
        best = min(range(len(grid)), key=lambda i: tried[i]["error"][0])
    predicted = np.array(tried[best]["predicted"], dtype=np.float64)
    # what is known of all tasks but those predicted: the same for every predictor, whether it uses a dev part or not
    mean = float(scores[np.union1d(split.train, split.dev) if options.protocol != "published" else split.train].mean())
    return {
        "true": scores[split.test].tolist(), "predicted": (predicted * scale + shift).tolist(),
        "mean": [mean] * split.test.size, "noise": noise[split.test].tolist(),
        "chosen": [dict(grid[best])] if grid[best] else [],
    }  # fmt: skip


def _distinct(kind: Kind, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the settings to try; a user's own take the place of the grid's, and what is then equal is tried once."""
    found: list[dict[str, Any]] = []
    for chosen in kind.grid:
        merged = {**chosen, **settings}
        if merged not in found:
            found.append(merged)
    return found


def _made(kind: Kind, seed: int, settings: dict[str, Any]) -> Predictor:
    try:
        return kind.make(seed=seed, **settings)
    except TypeError as error:
        raise UserError(f"the predictor {kind.name!r} does not take these settings: {error}") from error


def _checked(predicted: Any, count: int, kind: Kind) -> Floats:
    found = np.asarray(predicted, dtype=np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise UserError(f"the predictor {kind.name!r} returned no {count} finite numbers: mend or leave it out")
    return found


def _with_pilots(one: _Set, k: int, seed: int) -> tuple[Tasks, Floats, Floats]:
    """Return the tasks with the means of k random instances each, and scores and noise of the remaining instances."""
    pilot, rest, noise = [], [], []
    for number, each in enumerate(one.values):
        values = np.random.default_rng((seed, number, k)).permutation(each)
        pilot.append(values[:k].mean())
        rest.append(values[k:].mean())
        noise.append(values.var(ddof=1) / (values.size - k))
    found = Tasks(one.tasks.names, one.tasks.definitions, one.tasks.categories, one.tasks.others, np.array(pilot))
    return found, np.array(rest), np.array(noise)


def _records(
    made: dict[str, list[float]], one: _Set, kind: Kind, split: Split, options: Options, model: str
) -> list[dict[str, Any]]:
    records = []
    for place, i in enumerate(split.test):
        score = one.rows[i].scores[options.target]
        records.append(
            {
                "model": model, "target": options.target, "scale": options.scale, "protocol": options.protocol,
                "predictor": kind.name, "needs": str(kind.needs or ""), "seed": split.seed, "fold": split.fold,
                "task": one.rows[i].task, "category": one.rows[i].category, "group": one.groups[i],
                "true": made["true"][place], "predicted": made["predicted"][place], "mean": made["mean"][place],
                "noise": made["noise"][place], "variance": score.variance, "deduplicated": options.deduplicate,
            }
        )  # fmt: skip
    return records


def describe(options: Options) -> dict[str, Any]:
    """Return the options for a manifest."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
