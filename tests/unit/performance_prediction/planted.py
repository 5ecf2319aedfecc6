"""Tasks whose scores depend on their definitions by a known share, so that what an analysis finds can be checked."""

from __future__ import annotations

import numpy as np

from lmx_analysis.performance_prediction.data import Row, Score

INSTANCES = 25


def planted(
    tasks: int, r2: float, seed: int, *, noise: float = 0.0, words: int = 8, models: int = 1, sources: bool = False
) -> list[Row]:
    """Return rows whose rougeL without noise has exactly this R2 on the sum of its words' true effects.

    Half of `words` stand in each definition, at random; each word adds its own effect. The rest is drawn, made
    orthogonal to that sum, and scaled, so that R2 is exact in the sample.

    Args:
        noise: variance of the mean of a task's `INSTANCES` instances, as a multiple of that between tasks.
    """
    rng = np.random.default_rng(seed)
    there = (rng.random((tasks, words)) < 0.5).astype(float)
    signal = there @ rng.normal(size=words)
    signal = (signal - signal.mean()) / signal.std()
    rest = rng.normal(size=tasks)
    rest -= rest.mean() + signal * (signal @ rest) / tasks
    clean = np.sqrt(r2) * signal + np.sqrt(1 - r2) * rest / rest.std()
    rows = []
    for i in range(tasks):
        own = (f"own{i}x{number}" for number in range(6))  # no two definitions are near-duplicates
        text = " ".join([*(f"word{w}" for w in range(words) if there[i, w]), *own])
        source = (f"source{i // 2}",) if sources else (f"source{i}",)
        for model in range(models):
            values = 50 + 12 * (clean[i] + np.sqrt(noise * INSTANCES) * rng.normal(size=INSTANCES))
            score = Score.of(values.tolist()) if noise else Score(50 + 12 * clean[i], INSTANCES, 0.0)
            rows.append(Row(f"task{i}", text, f"category{i % 7}", f"m{model}", source, {"rougeL": score}))
    return rows
