"""One row a model: what a reader looks at first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.stats import mean_t


def overview(found: Measurement) -> list[dict[str, Any]]:
    """Return each model's means, perplexity, and bits per byte of text (comparable over tokenizers).

    Bits per byte: surprisals in bits over all scored tokens by the UTF-8 bytes that these tokens stand for (a stop
    string that the answer lost counts, an end of text has none). The interval of the mean entropy takes texts of one
    document together.
    """
    rows = []
    for name, table in found.tokens.items():
        texts = found.texts[name]
        size = int(texts["n_bytes"].sum())
        clusters = np.unique(found.documents(name)[table["text"].to_numpy()], return_inverse=True)[1]
        interval = mean_t(table["entropy"].to_numpy(), clusters)
        rows.append(
            {
                "model": name,
                "texts": int(table["text"].nunique()),
                "tokens": len(table),
                "mean_entropy": float(table["entropy"].mean()),
                "low": interval.low,
                "high": interval.high,
                "mean_varentropy": float(table["varentropy"].mean()),
                "mean_probability": float(table["probability_of_next_token"].mean()),
                "mean_surprisal": float(table["surprisal"].mean()),
                "perplexity": math.exp(min(700.0, float(table["surprisal"].mean()))),
                "bits_per_byte": float(table["surprisal"].sum()) / math.log(2) / size if size else math.nan,
                "top_token_share": float((table["rank"] == 1).mean()) if table["rank"].notna().all() else math.nan,
            }
        )
    return rows
