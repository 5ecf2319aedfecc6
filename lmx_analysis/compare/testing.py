"""The tests of one task: all metrics and runs at once, over the same flips, with what missing values leave of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmx_analysis.compare.pairing import Key, TaskSamples
from lmx_analysis.compare.scores import ScoreRow
from lmx_analysis.stats import (
    NONE_MISSING,
    Interval,
    Metric,
    Missing,
    Paired,
    compare_columns,
    flip_statistics,
    judge_missing,
    numbered,
    skew,
)
from lmx_analysis.stats.paired import differences

Floats = NDArray[np.float64]
ALPHA = 0.05
FEW_CLUSTERS = FEW_DOCUMENTS = 20
PER_ROW = 50
"""Resamples for each row that is corrected for: so the least p of a row, times their number, is 0.02."""


@dataclass(frozen=True)
class Difference:
    """One tested row: a metric of one run against the reference.

    Attributes:
        metric: what the metric is. selected: whether it is on the screen and in the corrections.
        missing: what is known of values that are missing. p_holm, p_max_t: NaN if not selected.
        correction: the one that the verdict follows, ``holm`` or ``max-t``.
    """

    row: ScoreRow
    run: str
    metric: Metric
    selected: bool
    paired: Paired
    missing: Missing = NONE_MISSING
    p_holm: float = math.nan
    p_max_t: float = math.nan
    correction: str = "holm"

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``differs`` when the corrected p is below 0.05, ``withheld``, or nothing."""
        if self.selected and self.missing.withheld:
            return "withheld"
        corrected = self.p_max_t if self.correction == "max-t" else self.p_holm
        if not corrected < ALPHA or self.paired.difference == 0:
            return ""
        if self.metric.higher_is_better is None:
            return "differs"
        return "better" if (self.paired.difference > 0) == self.metric.higher_is_better else "worse"


@dataclass
class Column:
    """The values of one row over the documents of its task; NaN where a document is not paired or has none.

    Attributes:
        reference, run: shape ``[documents]``. paired: whether a document is in both runs. texts: most values that went
            into one document's mean.
    """

    row: ScoreRow
    name: str
    metric: Metric
    selected: bool
    reference: Floats
    run: Floats
    paired: NDArray[np.bool_]
    texts: int
    exact: bool = False

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Where both values are finite."""
        return np.isfinite(self.reference) & np.isfinite(self.run)

    @property
    def within(self) -> bool:
        """Whether the finite values lie within the metric's bounds."""
        low, high = self.metric.low, self.metric.high
        return all(bool(((v[self.whole] >= low) & (v[self.whole] <= high)).all()) for v in (self.reference, self.run))

    @property
    def binary(self) -> bool:
        """Whether the finite values are 0 and 1."""
        return all(np.isin(values[self.whole], (0, 1)).all() for values in (self.reference, self.run))


@dataclass
class TaskData:
    """All columns of a task over one list of documents; `clusters`: their numbers, None for independent documents."""

    task: str
    columns: list[Column]
    clusters: NDArray[np.intp] | None


def task_data(
    task: str,
    rows: Iterable[tuple[ScoreRow, Metric, bool]],
    reference: TaskSamples,
    others: dict[str, tuple[TaskSamples, list[Key]]],
    clustered: bool,
) -> TaskData:
    """Return the columns of a task. `others`: by run, its samples and the keys that are paired."""
    place: dict[int, int] = {}
    clusters: dict[int, str | None] = {}
    for key, document in reference.documents.items():
        place.setdefault(key[1], len(place))
        clusters.setdefault(key[1], document.cluster)
    columns = []
    for name, (samples, keys) in others.items():
        for row, metric, selected in rows:
            if not _is_tested(row, reference, samples):
                continue
            values = np.full((2, len(place)), np.nan)
            paired = np.zeros(len(place), dtype=bool)
            texts = 1
            for key in keys:
                if key[0] != row.filter:
                    continue
                paired[place[key[1]]] = True
                for side, read in enumerate((reference, samples)):
                    document = read.documents[key]
                    mean = document.mean(row.metric)
                    values[side, place[key[1]]] = math.nan if mean is None else mean
                    texts = max(texts, document.repeats, len(document.values.get(row.metric, ())))
            columns.append(Column(row, name, metric, selected, values[0], values[1], paired, texts))
    return TaskData(task, columns, numbered(list(clusters.values())) if clustered else None)


def _is_tested(row: ScoreRow, reference: TaskSamples, run: TaskSamples) -> bool:
    known = row.metric in reference.metrics and row.metric in run.metrics
    return known and row.is_number and not (row.metric in reference.structured or row.metric in run.structured)


def choose_tests(tasks: Sequence[TaskData]) -> list[str]:
    """Decide for each metric, over all its rows, whether McNemar's test fits; return notes.

    It does where the metric is a rate everywhere, each document has one text, and documents are independent.
    """
    notes = []
    by_metric: dict[str, list[tuple[TaskData, Column]]] = defaultdict(list)
    for data in tasks:
        for column in data.columns:
            by_metric[column.row.metric].append((data, column))
    for name, found in by_metric.items():
        exact = all(
            data.clusters is None and column.metric.kind == "rate" and column.texts == 1 for data, column in found
        )
        if exact and not all(column.binary for _, column in found):
            notes.append(f"{name} is declared a rate, but holds values other than 0 and 1; it is tested as a score")
            exact = False
        beyond = [column for _, column in found if not column.within]
        if beyond:
            low, high = beyond[0].metric.low, beyond[0].metric.high
            notes.append(f"{name} is declared to lie from {low:g} to {high:g}, and does not; the bounds are not used")
        for _, column in found:
            column.exact = exact
            if beyond:
                column.metric = replace(column.metric, kind="score", low=-math.inf, high=math.inf)
    return notes


def test_task(data: TaskData, correction: str, resamples: int, seed: int) -> tuple[list[Difference], list[str]]:
    """Return the differences of a task, not corrected, and notes."""
    columns = [column for column in data.columns if column.whole.any()]
    found: list[Difference] = []
    notes = _dropped(data)
    if columns:
        a, b = (
            np.stack([np.where(column.whole, getattr(column, side), np.nan) for column in columns], axis=1)
            for side in ("reference", "run")
        )
        exact = [column.exact for column in columns]
        shares = [column.metric.kind == "rate" for column in columns]
        tested = compare_columns(a, b, data.clusters, rate=exact, share=shares, resamples=resamples, seed=seed)
        for column, paired in zip(columns, tested, strict=True):
            missing = _missing(data, column, resamples, seed)
            paired = replace(paired, interval=_within(paired.interval, column.metric))
            row, name, chosen = column.row, column.name, column.selected
            found.append(Difference(row, name, column.metric, chosen, paired, missing, correction=correction))
    for name in dict.fromkeys(each.run for each in found):
        notes += _notes(data, name, [each for each in found if each.run == name])
    return found, notes


def null_statistics(data: TaskData, resamples: int, seed: int) -> tuple[Floats, NDArray[np.float32]]:
    """Return |t| of the selected columns that were tested, and of joint flips, ``[resamples, columns]``."""
    columns = [column for column in data.columns if column.selected and column.whole.any()]
    if not columns:
        return np.empty(0), np.empty((resamples, 0), dtype=np.float32)
    there = np.stack([column.whole for column in columns], axis=1)
    a, b = (
        np.where(there, np.stack([getattr(column, side) for column in columns], axis=1), 0.0)
        for side in ("reference", "run")
    )
    total, _ = differences(a, b, there, data.clusters)
    return flip_statistics(total, resamples, seed)


def _missing(data: TaskData, column: Column, resamples: int, seed: int) -> Missing:
    paired = column.paired
    if column.whole[paired].all():
        return Missing()
    clusters = None if data.clusters is None else numbered(data.clusters[paired].tolist())
    return judge_missing(
        column.reference[paired], column.run[paired], clusters, column.metric, column.exact, resamples, seed
    )


def _within(interval: Interval, metric: Metric) -> Interval:
    """Cut an interval at the largest difference that the metric allows."""
    if not (interval.known and metric.bounded):
        return interval
    most = metric.high - metric.low
    return replace(interval, low=max(interval.low, -most), high=min(interval.high, most))


def _dropped(data: TaskData) -> list[str]:
    dropped: dict[tuple[str, int], list[str]] = defaultdict(list)
    for column in data.columns:
        if lost := int(column.paired.sum() - column.whole.sum()):
            dropped[column.name, lost].append(column.row.metric)
    return [
        f"{data.task}, {name}: {count} pairs without two numbers left out of {listed(metrics)}"
        for (name, count), metrics in dropped.items()
    ]


def _notes(data: TaskData, name: str, found: Sequence[Difference]) -> list[str]:
    where, notes = f"{data.task}, {name}", []
    shown = [each for each in found if each.selected]
    if data.clusters is not None and found:
        count, effective = max((each.paired.clusters, each.paired.effective) for each in found)
        if effective < FEW_CLUSTERS:
            amount = f"only {count} clusters" if effective > count - 1 else f"{count} clusters of unequal size"
            tell = "" if effective > count - 1 else f", which tell as much as {effective:.1f} equal ones"
            notes.append(f"{where}: {amount}{tell}; with fewer than {FEW_CLUSTERS} p is rough")
    notes += [f"{where}: {note}" for note in _of_skewness(shown, data.clusters is not None)]
    alike = [
        each for each in shown if each.paired.interval.known and each.paired.interval.low == each.paired.interval.high
    ]
    if alike:
        metrics = listed(each.row.metric for each in alike)
        notes.append(f"{where}: all documents differ by the same amount in {metrics}, so the interval has no width")
    for each in shown:
        if each.missing.withheld:
            notes.append(f"{where}: {each.row.metric}: no verdict, for {each.missing.withheld} ({_of_missing(each)})")
    return notes


def _of_skewness(shown: Sequence[Difference], clustered: bool) -> list[str]:
    """Say where p may be too small: false alarms of skewed differences come from samples that hardly look skewed."""
    # rates, and rows in which few documents differ at all, have no rare documents that outweigh the others
    free = [each for each in shown if each.metric.kind != "rate" and not _rare(each)]
    small = [each for each in free if each.paired.p < ALPHA]
    strong = [each for each in free if abs(each.paired.skewness) >= skew.STRONG]
    evident = [e for e in small if e not in strong and e.paired.corrected and e.paired.clusters < skew.MANY]
    unseen = [e for e in small if e not in strong + evident and e.paired.clusters < FEW_DOCUMENTS and not clustered]
    notes = []
    if strong:
        notes.append(
            f"the differences of {listed(each.row.metric for each in strong)} are strongly skewed: a few documents "
            "differ by much more than the others, and p may be too small, more so the fewer documents there are "
            "(docs/analyses/statistics.md has figures); look at these documents"
        )
    if evident:
        notes.append(
            f"the differences of {listed(each.row.metric for each in evident)} are skewed: p is corrected for it, and "
            "may still be too small if a few documents unlike these differ by much more "
            "(figures: docs/analyses/statistics.md)"
        )
    if unseen:
        notes.append(
            f"{listed(each.row.metric for each in unseen)}: fewer than {FEW_DOCUMENTS} documents do not show whether "
            "differences are skewed; p may be too small if a few documents unlike these differ by much more"
        )
    return notes


def _rare(each: Difference) -> bool:
    """Whether differences are skewed only because few documents differ, which sign flips know."""
    return each.paired.differing < max(6, 0.2 * each.paired.clusters)


def _of_missing(each: Difference) -> str:
    missing = each.missing
    counts = f"missing in the reference only: {missing.reference}, in {each.run} only: {missing.run}"
    counts += f", in both: {missing.both}, p of missing alike: {missing.p:.4f}"
    if missing.infinite:
        counts += f"; infinite in one or both: {missing.infinite}"
    if missing.worst.known:
        counts += (
            f"; with missing values anywhere from {missing.low:g} to {missing.high:g}, the difference lies between "
            f"{missing.worst.low:+.4f} and {missing.worst.high:+.4f}"
        )
    return counts


def listed(names: Iterable[str]) -> str:
    """Return different names with commas."""
    return ", ".join(dict.fromkeys(names))


Track = Callable[[Sequence[str]], Iterable[str]]
