"""Means over groups of tokens: deciles, positions, right and wrong answers, who wrote them, when they were filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.stats import mean_t

DECILES = 10
POSITIONS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
FEWEST_TOKENS, FEWEST_DOCUMENTS = 20, 10
"""Tokens that are met less often are in no table by token."""


def deciles(found: Measurement) -> list[dict[str, Any]]:
    """Return every model's tokens by deciles of entropy, on its own cut points and on those of all models together."""
    pooled = np.concatenate([table["entropy"].to_numpy() for table in found.tokens.values()])
    rows = []
    for name, table in found.tokens.items():
        for points, values in (("own", table["entropy"].to_numpy()), ("common", pooled)):
            edges = np.unique(np.quantile(values, np.linspace(0, 1, DECILES + 1)))
            if len(edges) < 2:
                edges = np.array([edges[0], edges[0]])
            at = np.clip(np.searchsorted(edges, table["entropy"].to_numpy(), side="left") - 1, 0, len(edges) - 2)
            for number, group in table.groupby(at, sort=True):
                rows.append(
                    {
                        "model": name,
                        "cut_points": points,
                        "bin": int(number) + 1,
                        "low": float(edges[int(number)]),
                        "high": float(edges[int(number) + 1]),
                        "tokens": len(group),
                        "share": len(group) / len(table),
                        "mean_entropy": float(group["entropy"].mean()),
                        "mean_probability": float(group["probability_of_next_token"].mean()),
                    }
                )
    return rows


def by_position(found: Measurement) -> list[dict[str, Any]]:
    """Return means by position in the text, in bins that double."""
    rows = []
    for name, table in found.tokens.items():
        at = np.searchsorted(POSITIONS, table["position"].to_numpy(), side="right") - 1
        rows += [
            {"model": name, "from": POSITIONS[int(number)], **_means(group, found.documents(name))}
            for number, group in table.groupby(at, sort=True)
        ]
    return rows


def by_column(found: Measurement, column: str) -> list[dict[str, Any]]:
    """Return means by what a column holds: ``source`` or ``fill_step``; empty where nothing is known."""
    rows = []
    for name, table in found.tokens.items():
        known = table[table[column].notna()]
        rows += [
            {"model": name, column: value if column == "source" else int(value), **_means(group, found.documents(name))}
            for value, group in known.groupby(column, sort=True, observed=True)
        ]
    return rows


def by_token(found: Measurement, most: int = 50) -> list[dict[str, Any]]:
    """Return the tokens at which each model is least certain: those of highest mean entropy before them.

    Only tokens that were met 20 times in 10 documents. ``share``: of the model's tokens.
    """
    rows: list[dict[str, Any]] = []
    for name, table in found.tokens.items():
        documents = found.documents(name)
        counts, frequent = frequent_tokens(table, "next_token", documents)
        means = frequent.groupby("next_token", observed=True)["entropy"].mean().nlargest(most)
        chosen = frequent[frequent["next_token"].isin(means.index)]
        groups = dict(tuple(chosen.groupby("next_token", observed=True)))
        for token in means.index:
            group = groups[token]
            rows.append({"model": name, "token": str(token), "documents": int(counts.loc[token, "documents"]),
                         **_means(group, documents), "share": len(group) / len(table)})  # fmt: skip
    return rows


def frequent_tokens(table: pd.DataFrame, column: str, documents: NDArray[np.intp]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return counts of the tokens met `FEWEST_TOKENS` times in `FEWEST_DOCUMENTS` documents, and their rows.

    Args:
        column: of the tokens. documents: the number of each text's document.
    """
    met = table[[column]].assign(document=documents[table["text"].to_numpy()]).groupby(column, observed=True)
    counts = met["document"].agg(tokens="size", documents="nunique")
    counts = counts[(counts["tokens"] >= FEWEST_TOKENS) & (counts["documents"] >= FEWEST_DOCUMENTS)]
    return counts, table[table[column].isin(counts.index)]


def takeovers(found: Measurement) -> list[dict[str, Any]]:
    """Return entropies at the first token of each source's segments, where another took over, against all others."""
    rows = []
    for name, table in found.tokens.items():
        source = table["source"].astype(object).where(table["source"].notna(), None)
        before = source.groupby(table["text"]).shift(1)
        begins = source.notna() & before.notna() & (source != before)
        for value in sorted(set(source[begins])):
            rows.append({"model": name, "source": str(value), "where": "takes over",
                         **_means(table[begins & (source == value)], found.documents(name))})  # fmt: skip
            rest = table[~begins & (source == value)]
            if len(rest):
                rows.append({"model": name, "source": str(value), "where": "goes on",
                             **_means(rest, found.documents(name))})  # fmt: skip
    return rows


def _means(group: pd.DataFrame, documents: NDArray[np.intp]) -> dict[str, Any]:
    clusters = np.unique(documents[group["text"].to_numpy()], return_inverse=True)[1]  # without gaps
    interval = mean_t(group["entropy"].to_numpy(), clusters)
    return {
        "tokens": len(group),
        "texts": int(group["text"].nunique()),
        "mean_entropy": float(group["entropy"].mean()),
        "low": interval.low,
        "high": interval.high,
        "mean_probability": float(group["probability_of_next_token"].mean()),
        "mean_surprisal": float(group["surprisal"].mean()),
    }
