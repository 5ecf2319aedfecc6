"""The columns of what is measured. docs/analyses/entropy.md says what each means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def texts() -> pa.Schema:
    """One row a text; of a model that wrote its own, `model` is its name, else empty. n_bytes: of the scored tokens."""
    import pyarrow as pa

    words = {name: pa.string() for name in ("model", "task")}
    numbers = {"doc_id": pa.int64(), "repeat": pa.int32(), "correct": pa.float64(), "n_bytes": pa.int64()}
    return pa.schema({"text": pa.int32(), **words, **numbers, "prompt": pa.string(), "answer": pa.string()})


def tokens() -> pa.Schema:
    """One row a scored token."""
    import pyarrow as pa

    return pa.schema(
        {
            "text": pa.int32(),
            "task": pa.dictionary(pa.int32(), pa.string()),
            "doc_id": pa.int64(),
            "repeat": pa.int32(),
            "correct": pa.float64(),
            "position": pa.int32(),
            "current_id": pa.int32(),
            "next_id": pa.int32(),
            "current_token": pa.string(),
            "next_token": pa.string(),
            "entropy": pa.float64(),
            "probability_of_next_token": pa.float64(),
            "surprisal": pa.float64(),
            "varentropy": pa.float64(),
            "rank": pa.int32(),
            "margin": pa.float64(),
            "top_probability": pa.float64(),
            "top_id": pa.int32(),
            "source": pa.dictionary(pa.int32(), pa.string()),
            "fill_step": pa.int32(),
            "top_ids": pa.list_(pa.int32()),
            "top_log_probabilities": pa.list_(pa.float32()),
        }
    )


def pairs() -> pa.Schema:
    """One row a scored token of two models that read the same tokens."""
    import pyarrow as pa

    floats = ("kl_ab", "kl_ba", "js", "delta_probability", "surprisal_a", "surprisal_b")
    return pa.schema(
        {
            "text": pa.int32(),
            "position": pa.int32(),
            **{name: pa.float64() for name in floats},
            "same_top": pa.bool_(),
            "rank_a_in_b": pa.int32(),
            "rank_b_in_a": pa.int32(),
        }
    )
