"""Tests: models against each other by prompt, right answers against wrong ones, and token by token.

Documents are the units: a text's mean over its tokens, texts of one document together (clusters). Tokens never are, for
a token's entropy depends on its neighbours'.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_analysis.entropy.groups import frequent_tokens
from lmx_analysis.entropy.load import Measurement
from lmx_analysis.stats import benjamini_hochberg, compare_columns, holm, numbered, two_groups

MEASURES = ("entropy", "surprisal", "probability_of_next_token", "varentropy")
VERDICTS = (1, 100)
"""What a metric of right or wrong gives to a right answer: 1, or per cent."""
FLIPS = 10_000
"""Sign flips of the tests by token; with more than 400 tokens `FLIPS_A_TOKEN` for each, up to `MOST_FLIPS`: the least p
is one in so many, and Benjamini and Hochberg's correction multiplies a single one by the number of tokens."""
FLIPS_A_TOKEN, MOST_FLIPS = 25, 50_000
AT_ONCE = 256
"""Tokens whose texts' means are in memory at once: texts times tokens."""
FEWEST_FLIPS, WORK = 2_000, 10**11
"""Where flips times documents times tokens are more than `WORK` (half a minute), there are fewer flips."""
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
        grouped = np.unique(clusters, return_inverse=True)[1] if several else None
        tested = compare_columns(
            means[a].loc[both, measures].to_numpy(), means[b].loc[both, measures].to_numpy(), grouped,
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


def right_answers(found: Measurement, name: str) -> pd.Series | None:
    """Return which of a model's judged texts are right (metric 1, or 100 per cent) and which wrong (0), by text number.

    None where a metric has other values: 0.3 of ROUGE, or 23 of BLEU, is neither.
    """
    known = found.texts[name].set_index("text")["correct"].dropna()
    return known > 0 if any(known.isin((0, right)).all() for right in VERDICTS) else None


def why_not_split(found: Measurement) -> str | None:
    """Return in words why right and wrong answers are not told apart, None where they are or nothing is judged."""
    for name in found.names:
        if right_answers(found, name) is None:
            values = found.texts[name]["correct"].dropna()
            odd = values[~values.isin((0, *VERDICTS))]
            example = float(odd.iloc[0]) if len(odd) else float(values.max())
            return (
                f"right and wrong answers are not told apart, because the metric is not 0 or 1 everywhere (e.g. "
                f"{example:g}): name one that is with --metric, and another --output_dir"
            )
    return None


def right_and_wrong(found: Measurement) -> list[dict[str, Any]]:
    """Compare texts with right answers with those with wrong ones, by Welch's t over documents' means.

    Left out where the metric is not 0 or 1; see `right_answers`.
    """
    rows: list[dict[str, Any]] = []
    for name in found.names:
        right = right_answers(found, name)
        if right is None or right.nunique() < 2:
            continue
        means = text_means(found, name)
        right = right.reindex(means.index.intersection(right.index))
        means = means.loc[right.index]
        documents = pd.Series(found.documents(name)[means.index.to_numpy()], index=means.index)
        for measure in means.columns:
            a, b = (means.loc[side, measure].groupby(documents[side]).mean().to_numpy() for side in (right, ~right))
            if min(len(a), len(b)) < 2:
                continue
            each = two_groups(a, b)
            rows.append(
                {
                    "model": name, "measure": str(measure), "n_right": each.n_a, "n_wrong": each.n_b,
                    "mean_right": each.mean_a, "mean_wrong": each.mean_b, "difference": each.difference,
                    "low": each.interval.low, "high": each.interval.high, "p": each.p,
                }
            )  # fmt: skip
    return _corrected(rows, "p_holm", holm)


def by_token(found: Measurement, a: str, b: str, column: str = "next_token", seed: int = 1234) -> list[dict[str, Any]]:
    """Compare entropy at each token between two models, with Benjamini and Hochberg's correction over tokens.

    Only tokens that both models met often enough (`groups.frequent_tokens`). Means are over texts, of a text's mean
    over its occurrences. On shared texts they are paired within texts, documents being clusters
    (`compare_columns`); else Welch's t over documents' means.
    """
    rows = _paired_tokens(found, a, b, column, seed) if found.shared else _unpaired_tokens(found, a, b, column)
    rows = _corrected(rows, "p_bh", benjamini_hochberg)
    return sorted(({"a": a, "b": b, **row} for row in rows), key=lambda row: (row["p"], -abs(row["difference"])))


def _paired_tokens(found: Measurement, a: str, b: str, column: str, seed: int) -> list[dict[str, Any]]:
    first, documents = found.tokens[a], found.documents(a)
    table = first[["text", column]].assign(a=first["entropy"].to_numpy(), b=found.tokens[b]["entropy"].to_numpy())
    counts, table = frequent_tokens(table, column, documents)
    flips = min(MOST_FLIPS, max(FLIPS, FLIPS_A_TOKEN * len(counts)))
    flips = max(FEWEST_FLIPS, min(flips, WORK // max(1, len(counts) * len(np.unique(documents)))))
    rows: list[dict[str, Any]] = []
    for begin in range(0, len(counts), AT_ONCE):
        own = counts.iloc[begin : begin + AT_ONCE]
        chosen = table[table[column].isin(own.index)]
        means = chosen.groupby(["text", column], observed=True)[["a", "b"]].mean().unstack(column)
        tested = compare_columns(
            means["a"][own.index].to_numpy(), means["b"][own.index].to_numpy(),
            numbered(documents[means.index.to_numpy()].tolist()), rate=[False] * len(own), resamples=flips, seed=seed,
        )  # fmt: skip
        rows += [
            _token_row(token, count, each.reference, each.run, each.difference, each.interval, each.p)
            for (token, count), each in zip(own.iterrows(), tested, strict=True)
        ]
    return rows


def _unpaired_tokens(found: Measurement, a: str, b: str, column: str) -> list[dict[str, Any]]:
    sides = []
    for name in (a, b):
        documents = found.documents(name)
        counts, table = frequent_tokens(found.tokens[name][["text", column, "entropy"]], column, documents)
        table = table.assign(document=documents[table["text"].to_numpy()])
        sides.append((counts, table.groupby([column, "document"], observed=True)["entropy"].mean()))
    (counts, first), (others, second) = sides
    rows = []
    for token in counts.index.intersection(others.index):
        each = two_groups(second.loc[token].to_numpy(), first.loc[token].to_numpy())  # b less a
        rows.append(
            _token_row(token, counts.loc[token], each.mean_b, each.mean_a, each.difference, each.interval, each.p)
        )
    return rows


def _token_row(
    token: Any, counts: Any, mean_a: float, mean_b: float, difference: float, interval: Any, p: float
) -> dict[str, Any]:
    return {
        "token": str(token), "tokens": int(counts["tokens"]), "documents": int(counts["documents"]), "mean_a": mean_a,
        "mean_b": mean_b, "difference": difference, "low": interval.low, "high": interval.high, "p": p,
    }  # fmt: skip


def _corrected(rows: Sequence[dict[str, Any]], name: str, correct: Any) -> list[dict[str, Any]]:
    return [row | {name: p} for row, p in zip(rows, correct(row["p"] for row in rows), strict=True)]
