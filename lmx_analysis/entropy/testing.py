"""Tests: models against each other by prompt, right answers against wrong ones, and token by token.

Texts are the units: a text's mean over its tokens, texts of one document together (clusters). Tokens never are, for a
token's entropy depends on its neighbours'.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.stats import benjamini_hochberg, compare_columns, holm

MEASURES = ("entropy", "surprisal", "probability_of_next_token", "varentropy")
FEWEST_TOKENS, FEWEST_TEXTS = 20, 10
Floats = NDArray[np.float64]


def text_means(found: Measurement, name: str) -> pd.DataFrame:
    """Return the mean of each measure over each text's tokens, by text."""
    table = found.tokens[name]
    known = [measure for measure in MEASURES if table[measure].notna().all()]  # a run may have recorded some of them
    return table.groupby("text", sort=True)[known].mean()


def between_models(found: Measurement, resamples: int = 10_000, seed: int = 1234) -> list[dict[str, Any]]:
    """Compare each two models by prompt (paired), with Holm's correction over all rows.

    Where models wrote their own texts, the pairs are texts of one prompt.
    """
    means = {name: text_means(found, name) for name in found.names}
    rows: list[dict[str, Any]] = []
    for a, b in itertools.combinations(found.names, 2):
        both = means[a].index.intersection(means[b].index)
        if len(both) < 2:
            continue
        measures = [measure for measure in means[a].columns if measure in means[b].columns]
        clusters = found.documents(a)[both.to_numpy()]
        several = len(set(clusters.tolist())) < len(clusters)
        numbered = np.unique(clusters, return_inverse=True)[1] if several else None
        tested = compare_columns(
            means[a].loc[both, measures].to_numpy(), means[b].loc[both, measures].to_numpy(), numbered,
            rate=[False] * len(measures), resamples=resamples, seed=seed,
        )  # fmt: skip
        rows += [
            {
                "a": a, "b": b, "measure": measure, "texts": each.n, "mean_a": each.reference, "mean_b": each.run,
                "difference": each.difference, "low": each.interval.low, "high": each.interval.high, "p": each.p,
                "test": each.test,
            }
            for measure, each in zip(measures, tested, strict=True)
        ]  # fmt: skip
    return _corrected(rows, "p_holm", holm)


def right_and_wrong(found: Measurement) -> list[dict[str, Any]]:
    """Compare texts with right answers (metric of at least 1) with the others, by Welch's t over documents' means."""
    rows: list[dict[str, Any]] = []
    for name in found.names:
        means = text_means(found, name)
        correct = found.texts[name].set_index("text")["correct"].reindex(means.index)
        known = correct.notna()
        documents = pd.Series(found.documents(name)[means.index.to_numpy()], index=means.index)
        for measure in means.columns:
            sides = [
                means.loc[known & ((correct >= 1) == right), measure].groupby(documents).mean().to_numpy()
                for right in (True, False)
            ]
            if min(map(len, sides)) < 2:
                continue
            rows.append({"model": name, "measure": str(measure), **two_groups(*sides)})
    return _corrected(rows, "p_holm", holm)


def two_groups(a: Floats, b: Floats) -> dict[str, Any]:
    """Compare the means of two groups of independent texts by Welch's t; difference: a less b, with its interval."""
    tested = stats.ttest_ind(a, b, equal_var=False)
    flat = not math.isfinite(float(tested.pvalue))
    interval = (math.nan, math.nan) if flat else tested.confidence_interval(0.95)
    return {
        "n_right": len(a), "n_wrong": len(b), "mean_right": float(a.mean()), "mean_wrong": float(b.mean()),
        "difference": float(a.mean() - b.mean()), "low": float(interval[0]), "high": float(interval[1]),
        "p": 1.0 if flat else float(tested.pvalue),
    }  # fmt: skip


def by_token(found: Measurement, a: str, b: str, column: str = "next_token") -> list[dict[str, Any]]:
    """Compare entropy at each token between two models, with Benjamini and Hochberg's correction over tokens.

    Only tokens that both models met `FEWEST_TOKENS` times in `FEWEST_TEXTS` texts. On shared texts the differences are
    paired within texts (one-sample t of the texts' mean differences); else Welch's t of the texts' means.
    """
    first, second = found.tokens[a], found.tokens[b]
    rows: list[dict[str, Any]] = []
    if found.shared:
        table = first[["text", column]].assign(a=first["entropy"].to_numpy(), b=second["entropy"].to_numpy())
        for token, group in _frequent(table, column):
            means = group.groupby("text")[["a", "b"]].mean()
            gaps = (means["b"] - means["a"]).to_numpy()
            p = 1.0 if np.ptp(gaps) == 0 and gaps[0] == 0 else float(stats.ttest_1samp(gaps, 0.0).pvalue)
            rows.append(_token_row(token, len(group), len(means), group["a"].mean(), group["b"].mean(), p))
    else:
        others = dict(_frequent(second, column))
        for token, group in _frequent(first, column):
            if token in others:
                sides = [each.groupby("text")["entropy"].mean().to_numpy() for each in (group, others[token])]
                p = float(two_groups(sides[0], sides[1])["p"])
                means = (group["entropy"].mean(), others[token]["entropy"].mean())
                rows.append(_token_row(token, len(group), len(sides[0]), *means, p))
    rows = _corrected(rows, "p_bh", benjamini_hochberg)
    return sorted(({"a": a, "b": b, **row} for row in rows), key=lambda row: (row["p"], -abs(row["difference"])))


def _frequent(table: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    counts = table.groupby(column)["text"].agg(["size", "nunique"])
    good = set(counts.index[(counts["size"] >= FEWEST_TOKENS) & (counts["nunique"] >= FEWEST_TEXTS)])
    chosen = table[table[column].isin(good)]
    return [(str(token), group) for token, group in chosen.groupby(column, sort=True)]


def _token_row(token: str, tokens: int, texts: int, a: float, b: float, p: float) -> dict[str, Any]:
    p = p if math.isfinite(p) else 1.0
    return {"token": token, "tokens": tokens, "texts": texts, "mean_a": float(a), "mean_b": float(b),
            "difference": float(b - a), "p": p}  # fmt: skip


def _corrected(rows: Sequence[dict[str, Any]], name: str, correct: Any) -> list[dict[str, Any]]:
    return [row | {name: p} for row, p in zip(rows, correct(row["p"] for row in rows), strict=True)]
