"""Methods that lmx used earlier, kept so that the calibration table can show what changed. Nothing else uses them."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.studies.calibration_rows import Floats


def bootstrap_t(total: Floats, size: Floats, resamples: int, seed: int) -> tuple[float, float, float]:
    """Return p and the 95 % interval of a mean difference by the symmetric cluster bootstrap-t.

    Args:
        total: sum of the differences in each cluster, shape ``[clusters]``. size: pairs in each.

    A resample without variance counted as |t*| infinite.
    """
    groups, n = len(total), float(size.sum())
    d = float(total.sum()) / n
    differing = int(np.count_nonzero(total))
    if differing == 0 or groups == 1:
        return 1.0, math.nan, math.nan
    floor = min(1.0, 2.0 ** (1 - differing))
    residual = total - size * d
    correction = groups / (groups - 1)
    se = math.sqrt(correction * float((residual**2).sum())) / n
    tiny = 1e-12 * float(np.abs(total).max())
    if se <= tiny:
        return (max(floor, 1 / (resamples + 1)), d, d) if differing >= 6 else (floor, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(groups, size=(resamples, groups)) + np.arange(resamples)[:, None] * groups
    weights = np.bincount(drawn.ravel(), minlength=resamples * groups).reshape(resamples, groups).astype(np.float64)
    columns = np.stack([residual, size, residual**2, residual * size, size**2], axis=1)
    r, m, rr, rn, nn = (weights @ columns).T
    e = r / m
    squares = np.maximum(rr - 2 * e * rn + e**2 * nn, 0.0)
    flat = np.sqrt(squares) <= np.maximum(1e-7 * np.sqrt(rr), tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(flat, np.where(np.abs(e) > tiny, np.inf, 0.0), np.abs(e) * m / np.sqrt(correction * squares))
    p = max((1 + int((t >= abs(d) / se * (1 - 1e-12)).sum())) / (resamples + 1), floor)
    half = float(np.quantile(t, 0.95, method="higher")) * se
    return (p, d - half, d + half) if differing >= 6 and math.isfinite(half) else (p, math.nan, math.nan)
