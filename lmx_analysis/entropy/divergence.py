"""How far two models are apart on the same tokens, in the form of llama.cpp's ``--kl-divergence``.

Standard errors are of texts (of documents, where a document has several texts): tokens of one text are not independent,
so errors over tokens, as others print them, are too small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.stats import standard_error

QUANTILES = (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999))


def summaries(found: Measurement) -> list[dict[str, Any]]:
    """Return one row for each pair of models."""
    rows = []
    for a, b in found.pairs:
        table = found.pair(a, b)
        rows.append({"a": a, "b": b, **summary(table, found.documents(a)[table["text"].to_numpy()])})
    return rows


def summary(table: pd.DataFrame, clusters: NDArray[np.intp]) -> dict[str, Any]:
    """Return the summary of one pair, b against a.

    KL(a || b) and KL(b || a) in nats; Delta p is the probability of the written token under b less that under a; the
    ratio of perplexities is b's over a's.
    """
    clusters = np.unique(clusters, return_inverse=True)[1]  # without gaps
    made: dict[str, Any] = {"tokens": len(table), "texts": int(table["text"].nunique())}
    for name in ("kl_ab", "kl_ba", "js"):
        values = table[name].to_numpy()
        made |= {f"{name}_mean": float(values.mean()), f"{name}_error": _error(values, clusters)}
        for label, q in QUANTILES:
            made[f"{name}_{label}"] = float(np.quantile(values, q))
        made |= {f"{name}_max": float(values.max()), f"{name}_min": float(values.min())}
    delta = table["delta_probability"].to_numpy()
    square = float((delta**2).mean())
    made["delta_p_mean"], made["delta_p_mean_error"] = float(delta.mean()), _error(delta, clusters)
    made["delta_p_rms"] = math.sqrt(square)
    made["delta_p_rms_error"] = _error(delta**2, clusters) / (2 * math.sqrt(square)) if square else 0.0
    same = table["same_top"].to_numpy().astype(float)
    made["same_top"], made["same_top_error"] = float(same.mean()), _error(same, clusters)
    made["rank_a_in_b_median"] = float(table["rank_a_in_b"].median())
    made["rank_b_in_a_median"] = float(table["rank_b_in_a"].median())
    log_ratio = (table["surprisal_b"] - table["surprisal_a"]).to_numpy()
    ratio = math.exp(float(log_ratio.mean()))
    made |= {
        "perplexity_a": math.exp(float(table["surprisal_a"].mean())),
        "perplexity_b": math.exp(float(table["surprisal_b"].mean())),
        "perplexity_ratio": ratio,
        "perplexity_ratio_error": ratio * _error(log_ratio, clusters),
    }
    return made


def _error(values: NDArray[np.float64], clusters: NDArray[np.intp]) -> float:
    return float(standard_error(values, clusters)[0])
