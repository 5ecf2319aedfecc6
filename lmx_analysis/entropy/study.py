"""The published study's files, in its names and columns, so that its notebooks read them unchanged.

A row is a step: `current_token` was read, `next_token` follows it, `entropy` (nats) is of the distribution over what
follows, and `probability_of_next_token` is what that distribution gave to `next_token`. Texts are written as they are:
a token that looks like a formula is not altered, because notebooks compare tokens.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmx_analysis.entropy.load import Measurement
from lmx_files import jsonl

STEP = ["current_token", "next_token", "entropy", "probability_of_next_token"]
PERCENTILES = (5, 10, 25, 50, 75, 90, 95)
SAMPLES = 10
"""Tokens shown of each decile."""


class PerPrompt:
    """The folders ``prompt_i`` (from 1): a table a model, and the texts; one at a time."""

    def __init__(self, found: Measurement) -> None:
        self._found = found
        self._bounds = {name: _bounds(table["text"].to_numpy()) for name, table in found.tokens.items()}

    def __len__(self) -> int:
        return len(self._found.texts[self._found.names[0]])

    def model(self, name: str, number: int) -> tuple[str, dict[str, str]] | None:
        """Return the folder of a prompt and a model's table in it; None where the model has no token of it."""
        text = int(self._found.texts[name].iloc[number]["text"])
        if text not in self._bounds[name]:
            return None
        table = self._found.tokens[name].iloc[self._bounds[name][text]]
        return f"prompt_{number + 1}", {f"{name}_stats_{self._found.stamp}.csv": _csv(table[STEP])}

    def texts(self, number: int) -> tuple[str, dict[str, str]]:
        """Return the folder of a prompt and its texts: under each model's name, unless that is a field's."""
        found = self._found
        row = found.texts[found.names[0]].iloc[number]
        answers = {name: str(found.texts[name].iloc[number]["answer"]) for name in found.names}
        about = {"prompt": str(row["prompt"]), "task": str(row["task"]), "doc_id": int(row["doc_id"])}
        fields = {**about, "generated_texts": answers}
        document = fields | {name: answer for name, answer in answers.items() if name not in fields}
        return f"prompt_{number + 1}", {f"generated_texts_{found.stamp}.json": _json(document)}


def _bounds(texts: NDArray[np.int64]) -> dict[int, slice]:
    """Return where each text's rows lie; they lie together."""
    cuts = np.flatnonzero(np.diff(texts)) + 1
    edges = [0, *cuts.tolist(), len(texts)]
    return {int(texts[a]): slice(a, b) for a, b in itertools.pairwise(edges) if b > a}


def whole(found: Measurement, experiment: str) -> Iterator[tuple[str, str]]:
    """Yield the files over all prompts, by name: one in memory at a time."""
    stamp = found.stamp
    for name, table in found.tokens.items():
        yield f"aggregated_{name}_stats_{stamp}.csv", _csv(table[STEP])
        for which in ("current", "next"):
            yield f"{name}_token_analysis_{which}_{stamp}.csv", _csv(by_token(table, f"{which}_token"))
        steps = table.rename(columns={"position": "generation_step"}).assign(prompt_id=table["text"] + 1)
        yield f"{name}_token_stats.csv", _csv(steps[["prompt_id", "generation_step", *STEP]])
    yield "prompt_level_results.csv", _csv(prompt_level(found))
    head = {"experiment_name": experiment, "timestamp": stamp}
    yield f"summary_stats_{stamp}.json", _json(head | summary(found))
    cuts = {name: qcut(table) for name, table in found.tokens.items()}
    yield f"qcut_analysis_{stamp}.json", _json(head | {"qcut_analysis": cuts})
    compared = {name: comparison(table) for name, table in found.tokens.items()}
    yield f"model_comparison_{stamp}.json", _json(head | {"model_comparison": compared})


def by_token(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return means and counts of each token, the most frequent first."""
    groups = table.groupby(column, sort=True)
    made = pd.DataFrame(
        {
            "entropy_mean": groups["entropy"].mean(),
            "entropy_std": groups["entropy"].std(),
            "probability_mean": groups["probability_of_next_token"].mean(),
            "probability_std": groups["probability_of_next_token"].std(),
            "count": groups.size(),
        }
    )
    return made.sort_values("count", ascending=False, kind="stable").reset_index()


def prompt_level(found: Measurement) -> pd.DataFrame:
    """Return one row a prompt and model."""
    parts = []
    for name, table in found.tokens.items():
        groups = table.groupby("text", sort=True)
        made = pd.DataFrame(
            {
                "total_tokens": groups.size(),
                "mean_entropy": groups["entropy"].mean(),
                "std_entropy": groups["entropy"].std(),
                "mean_probability": groups["probability_of_next_token"].mean(),
                "std_probability": groups["probability_of_next_token"].std(),
                "mean_surprisal": groups["surprisal"].mean(),
            }
        ).reset_index()
        texts = found.texts[name].set_index("text")
        for column in ("task", "doc_id", "correct", "prompt", "answer"):
            made[column] = texts[column].reindex(made["text"]).to_numpy()
        made.insert(0, "model", name)
        made.insert(0, "prompt_id", made.pop("text") + 1)
        parts.append(made.rename(columns={"answer": "generated_text"}))
    return pd.concat(parts, ignore_index=True).sort_values(["prompt_id"], kind="stable")


def summary(found: Measurement) -> dict[str, Any]:
    """Return counts, and entropy and probability as pandas describes them, for each model."""
    made: dict[str, Any] = {"total_prompts": len(found.texts[found.names[0]]), "models": found.names}
    for name, table in found.tokens.items():
        made[f"{name}_total_tokens"] = len(table)
        made[f"{name}_entropy_stats"] = _plain(table["entropy"].describe())
        made[f"{name}_probability_stats"] = _plain(table["probability_of_next_token"].describe())
    return made


def qcut(table: pd.DataFrame) -> dict[str, Any]:
    """Return the deciles of entropy, edges that fall together dropped: edges, sizes, means, sample tokens."""
    if table["entropy"].nunique() < 2:
        edges = [float(table["entropy"].iloc[0])] * 2
        bins = pd.Series(0, index=table.index)
    else:
        bins, cut = pd.qcut(table["entropy"], 10, labels=False, retbins=True, duplicates="drop")
        edges = [float(edge) for edge in cut]
    made: dict[str, Any] = {"bin_edges": edges, "n_bins": len(edges) - 1}
    for number, group in table.groupby(bins, sort=True):
        made[f"bin_{int(number) + 1}"] = {
            "range": [edges[int(number)], edges[int(number) + 1]],
            "size": len(group),
            "mean_entropy": float(group["entropy"].mean()),
            "mean_probability": float(group["probability_of_next_token"].mean()),
            "sample_tokens": [str(token) for token in group["next_token"].head(SAMPLES)],
        }
    return made


def comparison(table: pd.DataFrame) -> dict[str, Any]:
    """Return one model's means and percentiles."""
    made: dict[str, Any] = {"total_tokens": len(table)}
    for column, name in (("entropy", "entropy"), ("probability_of_next_token", "probability")):
        made[f"mean_{name}"] = float(table[column].mean())
        made[f"std_{name}"] = float(table[column].std())
        values = table[column].quantile([p / 100 for p in PERCENTILES])
        made[f"{name}_percentiles"] = {f"{p}%": float(v) for p, v in zip(PERCENTILES, values, strict=True)}
    return made


def _plain(described: pd.Series) -> dict[str, float]:
    return {str(name): float(value) for name, value in described.items()}


def _csv(table: pd.DataFrame) -> str:
    """Return a table as CSV, all texts quoted: up to Python 3.12 a bare carriage return is not by itself."""
    text: str = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(jsonl.strict(value)), indent=2, ensure_ascii=False) + "\n"
