"""Rows of many tests at once: whole comparisons of files, dependent metrics, seeds, and missing values.

Runs are simulated as files and compared as a user would. 50 documents have difficulties that both runs share, so that
pairs are correlated; a run's value of a metric is made from difficulty, noise of its own, and what the run gains.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.calibration_before import bootstrap_t
from benchmarks.studies.calibration_rows import Floats, Row, share
from lmx_analysis.compare.comparison import Comparison, Options, compare
from lmx_analysis.stats import Metric, compare_columns, compare_paired, flip_statistics, holm, judge_missing, max_t

DOCUMENTS, REPEATS, DOMAINS = 50, 5, 25
METRICS = ("solved", "rare", "count", "skewed", "rate")
KINDS = {"solved": "rate", "rare": "rate", "count": "count"}
STAMP = "2026-01-01T00-00-00.000000"
RESAMPLES = 999


def values(rng: np.random.Generator, ability: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the sample values of one run by metric, each of shape ``[documents]``.

    `ability`: of the run on each document, in standard deviations of difficulty. solved, rare: 0/1, common and rare.
    count: events. skewed: log-normal, a third of it 0. rate: share of right texts among five of one document.
    """
    drawn = {metric: ability + rng.normal(size=ability.size) for metric in METRICS}
    right = rng.random((REPEATS, ability.size)) < 1 / (1 + np.exp(-drawn["rate"]))
    return {
        "solved": (drawn["solved"] > 0).astype(float),
        "rare": (drawn["rare"] > 2).astype(float),
        "count": rng.poisson(np.exp(0.5 * drawn["count"])).astype(float),
        "skewed": np.where(drawn["skewed"] > -0.6, np.exp(drawn["skewed"]), 0.0),
        "rate": right.mean(axis=0),
    }


def write_run(folder: Path, metrics: dict[str, NDArray[np.float64]]) -> Path:
    """Write one run as lm_eval does; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    up = dict.fromkeys(metrics, True)
    means = {f"{name},none": float(column.mean()) for name, column in metrics.items()}
    results = {
        "results": {"simulated": {"alias": "simulated", **means}},
        "configs": {"simulated": {"task": "simulated", "metadata": {"metric_kinds": KINDS}}},
        "higher_is_better": {"simulated": up},
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))
    with (folder / f"samples_simulated_{STAMP}.jsonl").open("w") as file:
        for number in range(DOCUMENTS):
            sample: dict[str, Any] = {
                "doc_id": number,
                "doc": {"domain": number * DOMAINS // DOCUMENTS},
                "resps": [["text"]],
                "filter": "none",
                "metrics": list(metrics),
                "prompt_hash": str(number),
                **{name: float(column[number]) for name, column in metrics.items()},
            }
            file.write(json.dumps(sample) + "\n")
    return folder


def simulate(
    folder: Path,
    seed: int,
    gain: float = 0.0,
    by_domain: float = 0.0,
    clustered: bool = False,
    resamples: int = 10_000,
) -> Comparison:
    """Simulate two runs and compare them.

    gain: of the second run, in standard deviations of difficulty. by_domain: spread of what each run gains in a whole
    domain, which makes documents of a domain dependent. clustered: compare with ``--cluster domain``.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=DOCUMENTS)
    paths = []
    for number in range(2):
        domain = np.repeat(rng.normal(size=DOMAINS) * by_domain, DOCUMENTS // DOMAINS)
        paths.append(write_run(folder / f"run{number}", values(rng, difficulty + domain + gain * number)))
    return compare(paths, Options(cluster="domain" if clustered else None, seed=seed, resamples=resamples))


def shares(comparisons: list[Comparison]) -> dict[str, float]:
    """Return the share of comparisons with a row below 0.05 after and before Holm, and each metric's, in percent."""
    n = len(comparisons)
    rows = [each.differences for each in comparisons]
    found = {
        "any, Holm": sum(any(row.p_holm < 0.05 for row in each) for each in rows),
        "any, not corrected": sum(any(row.paired.p < 0.05 for row in each) for each in rows),
        **{
            metric: sum(row.p_holm < 0.05 for each in rows for row in each if row.row.metric == metric)
            for metric in METRICS
        },
    }
    return {name: 100 * count / n for name, count in found.items()}


def whole_comparisons(quick: bool) -> Iterator[Row]:
    """Yield rows of `lmx compare` on files; *before* are figures of the bootstrap-t on the same 200 studies."""
    group = "lmx compare, five metrics of 50 documents: any row below 0.05 after Holm"
    n = 20 if quick else 200
    kinds: tuple[tuple[str, dict[str, Any], float | None, float], ...] = (
        ("no difference", {}, 0.05, 0.025),
        ("no difference, 25 domains, --cluster", {"by_domain": 1.0, "clustered": True}, 0.05, 0.035),
        ("a gain of 0.5", {"gain": 0.5}, None, 0.34),
        ("a gain of 1", {"gain": 1.0}, None, 0.965),
        ("a gain of 1, domains, --cluster", {"gain": 1.0, "by_domain": 1.0, "clustered": True}, None, 0.59),
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, settings, nominal, before in kinds:
            found = [simulate(Path(folder), seed, resamples=RESAMPLES, **settings) for seed in range(n)]
            after = shares(found)["any, Holm"] / 100
            yield Row(group, name, nominal, before, after, n, audited=True)


def dependent(repeats: int, metrics: int, correlation: float, shift: float) -> tuple[float, float, float, float]:
    """Return how often any of several correlated metrics is found, and the first one: by Holm, by max-T."""
    rng = np.random.default_rng(1)
    n = 40
    found = np.zeros((4, repeats), bool)
    for study in range(repeats):
        common = rng.normal(size=(n, 1))
        x = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=(n, metrics)) + shift
        tested = compare_columns(np.zeros_like(x), x, rate=[False] * metrics, resamples=RESAMPLES, seed=study)
        p = [each.p for each in tested]
        by_max_t = max_t(*flip_statistics(x, RESAMPLES, study), p)
        by_holm = holm(p)
        found[:, study] = [min(q) < 0.05 for q in (by_holm, by_max_t)] + [q[0] < 0.05 for q in (by_holm, by_max_t)]
    return tuple(share(each) for each in found)  # type: ignore[return-value]


def many_metrics(quick: bool) -> Iterator[Row]:
    """Yield rows of ten metrics: *before* is Holm, *after* max-T."""
    n = 100 if quick else 1000
    for correlation in (0.0, 0.5, 0.95):
        by_holm, by_max_t, _, _ = dependent(n, 10, correlation, 0.0)
        name = f"10 metrics, correlation {correlation}"
        yield Row("max-T after Holm: any false alarm", name, 0.05, by_holm, by_max_t, n)
    for correlation in (0.0, 0.5, 0.95):
        _, _, by_holm, by_max_t = dependent(n, 10, correlation, 0.45)
        name = f"10 metrics, correlation {correlation}"
        yield Row("max-T after Holm: one metric's difference is found", name, None, by_holm, by_max_t, n)


def seeds(quick: bool) -> Iterator[Row]:
    """Yield rows of 1 to 5 seeds a document, averaged; *before* one seed was compared, whatever there was."""
    n, documents = (100 if quick else 1000), 60
    for gain in (0.0, 0.11):
        hits = {}
        for count in (1, 2, 3, 5):
            rng = np.random.default_rng(count)
            found = np.zeros(n, bool)
            alone = np.zeros(n, bool)
            for study in range(n):
                chance = rng.beta(0.8, 0.8, size=documents) * (1 - gain)
                a, b = (rng.random((count, documents)) < p for p in (chance, chance + gain))
                x = b.mean(axis=0) - a.mean(axis=0)
                alone[study] = compare_paired(a[0], b[0], rate=True).p < 0.05
                pooled = compare_paired(np.zeros(documents), x, share=True, resamples=RESAMPLES, seed=study)
                found[study] = alone[study] if count == 1 else pooled.p < 0.05
            hits[count] = (share(alone), share(found))
        group = "seeds averaged for each document: " + ("a gain of 0.11 is found" if gain else "false alarms")
        for count, (before, after) in hits.items():
            yield Row(group, f"{count} seed{'s' * (count > 1)}, 60 documents", None if gain else 0.05, before, after, n)


def easy_ones(rng: np.random.Generator, gain: float) -> tuple[Floats, Floats]:
    """Return errors of two runs on 60 documents; the second gives no answer to the 16 hardest, and gains on others."""
    hard = np.sort(rng.exponential(size=60))
    a, b = hard + rng.normal(size=60) ** 2, hard + rng.normal(size=60) ** 2 - gain
    b[44:] = np.nan
    return a, b


def missing_values(quick: bool) -> Iterator[Row]:
    """Yield rows of a run that answers only the easy 44 of 60; *before* these were compared as they were."""
    n = 50 if quick else 500
    rng = np.random.default_rng(3)
    for kind, high in (("cost", np.inf), ("score", 12.0)):
        before, after = np.zeros(n, bool), np.zeros(n, bool)
        for study in range(n):
            a, b = easy_ones(rng, 0.8)
            both = np.isfinite(b)
            before[study] = bootstrap_t((b - a)[both], np.ones(44), RESAMPLES, study)[0] < 0.05
            metric = Metric(kind, False, 0.0, high)
            kept = not judge_missing(a, b, None, metric, False, RESAMPLES, study).withheld
            after[study] = kept and compare_paired(a[both], b[both], resamples=RESAMPLES, seed=study).p < 0.05
        name = "an error from 0, no other bound" if high == np.inf else f"an error from 0 to {high:g}"
        group = "missing values: called better for answering 44 of 60"
        yield Row(group, name, None, share(before), share(after), n)


def rows(quick: bool) -> Iterator[Row]:
    """Yield all rows of this module."""
    for part in (many_metrics, seeds, missing_values, whole_comparisons):
        yield from part(quick)
