"""Means by category: for each field of a task's documents that has few values."""

from __future__ import annotations

from typing import Any

import numpy as np

from lmx_analysis.report.samples import TaskTable


def category_means(table: TaskTable) -> list[dict[str, Any]]:
    """Return the fields of a task, those with the fewest values first.

    Each has ``field``, ``values`` in order, and ``means``: by metric, by run, for each value ``[mean, stderr, n]`` or
    null where no sample has a value. The standard error is s / sqrt(n), s with n - 1; null for one sample, and where
    all values are alike: a few equal values do not show that nothing varies.
    """
    found = []
    for name, (values, codes) in sorted(table.categories().items(), key=lambda item: len(item[1][0])):
        order = sorted(range(len(values)), key=lambda i: (isinstance(values[i], str), values[i]))
        means = {
            metric: [_means(table.column(number, run), codes, len(values), order) for run in range(table.runs)]
            for metric, number in table.metrics.items()
        }
        found.append({"field": name, "values": [str(values[i]) for i in order], "means": means})
    return found


def _means(column: Any, codes: Any, size: int, order: list[int]) -> list[list[Any] | None]:
    known = np.isfinite(column) & (codes >= 0)
    codes, column = codes[known], column[known]
    n = np.bincount(codes, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(codes, weights=column, minlength=size) / n
        squares = np.bincount(codes, weights=(column - mean[codes]) ** 2, minlength=size)
        stderr = np.sqrt(squares / (n - 1) / n)
    return [None if n[i] == 0 else [round(float(mean[i]), 6), _round(stderr[i]), int(n[i])] for i in order]


def _round(stderr: float) -> float | None:
    return round(float(stderr), 6) if np.isfinite(stderr) and stderr > 1e-9 else None
