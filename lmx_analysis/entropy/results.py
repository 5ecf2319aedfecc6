"""All tables of a measurement, made from its files, and their form on disk and on screen."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from lmx_analysis import tables
from lmx_analysis.entropy import divergence, figures, forking, groups, page, section, study, testing
from lmx_analysis.entropy.load import Measurement, load
from lmx_analysis.entropy.overview import overview
from lmx_files import atomic, csv

TABLES = "tables"


def all_tables(found: Measurement, resamples: int = 10_000, seed: int = 1234) -> dict[str, list[dict[str, Any]]]:
    """Return every table by the name of its file; empty ones are left out."""
    pairs = list(itertools.combinations(found.names, 2))
    made = {
        "overview": overview(found),
        "divergence": divergence.summaries(found),
        "tests_between_models": testing.between_models(found, resamples, seed),
        "tests_right_and_wrong": testing.right_and_wrong(found),
        "tests_by_token": [row for a, b in pairs for row in testing.by_token(found, a, b, seed=seed)],
        "tokens": groups.by_token(found),
        "deciles": groups.deciles(found),
        "forking": forking.thresholds(found),
        "forking_overlap": forking.overlaps(found),
        "by_position": groups.by_position(found),
        "by_source": groups.by_column(found, "source"),
        "by_fill_step": groups.by_column(found, "fill_step"),
        "takeovers": groups.takeovers(found),
    }
    return {name: rows for name, rows in made.items() if rows}


def write(
    folder: Path,
    experiment: str,
    plots: bool = True,
    with_study: bool = True,
    resamples: int = 10_000,
    seed: int = 1234,
    track: Any = lambda items, what: items,
) -> tuple[Measurement, dict[str, list[dict[str, Any]]]]:
    """Analyse the measurement in `folder` and write tables, pictures and the study's files beside it.

    Raises:
        UserError: there is no finished measurement, or a file cannot be written.
    """
    found = load(folder)
    made = all_tables(found, resamples, seed)
    if with_study:
        _write_study(found, folder, experiment, track)
    files: dict[str, str | bytes] = {f"{name}.csv": csv.text(rows) for name, rows in made.items()}
    files["entropy.json"] = tables.json_text({"experiment_name": experiment, "timestamp": found.stamp, **made})
    atomic.write_files(folder / TABLES, files, "--output_dir")
    pictures = figures.all_figures(found, made) if plots else {}
    if plots:
        atomic.write_files(folder / "figures", pictures, "--output_dir")
    atomic.write_files(folder, {"report.html": page.page(found, made, pictures, experiment)}, "--output_dir")
    section.section(found, made, pictures, experiment).write(folder)
    return found, made


def _write_study(found: Measurement, folder: Path, experiment: str, track: Any) -> None:
    """Write the study's files, each as soon as it is made: one model's tables are in memory at a time."""
    prompts = study.PerPrompt(found)
    for name in found.names:
        for number in track(range(len(prompts)), f"the study's files of {name}"):
            if made := prompts.model(name, number):
                atomic.write_files(folder / made[0], made[1], "--output_dir")
    for number in range(len(prompts)):
        place, contents = prompts.texts(number)
        atomic.write_files(folder / place, contents, "--output_dir")
    for file, content in study.whole(found, experiment):
        atomic.write_files(folder, {file: content}, "--output_dir")


def screen_tables(made: dict[str, list[dict[str, Any]]]) -> Iterable[Table]:
    """Yield what the command prints."""
    yield _table("models", made["overview"], (
        ("model", "model"), ("texts", "texts"), ("tokens", "tokens"), ("mean_entropy", "entropy (nats)"),
        ("low", "low"), ("high", "high"), ("mean_probability", "p(next)"), ("perplexity", "perplexity"),
        ("bits_per_byte", "bits/byte"),
    ))  # fmt: skip
    if rows := made.get("divergence"):
        yield _table("b against a, on the same tokens", rows, (
            ("a", "a"), ("b", "b"), ("kl_ab_mean", "KL(a||b)"), ("kl_ab_error", "±"), ("kl_ab_median", "median"),
            ("kl_ab_p99", "99 %"), ("kl_ab_p99_9", "99.9 %"), ("kl_ab_max", "max"), ("kl_ba_mean", "KL(b||a)"),
            ("js_mean", "JS"), ("delta_p_rms", "RMS Δp"), ("same_top", "same top"),
            ("perplexity_ratio", "PPL(b)/PPL(a)"), ("perplexity_ratio_error", "±"),
        ))  # fmt: skip
    if rows := made.get("tests_between_models"):
        yield _table("paired tests by prompt (b - a)", rows, (
            ("a", "a"), ("b", "b"), ("measure", "measure"), ("texts", "texts"), ("difference", "difference"),
            ("low", "low"), ("high", "high"), ("p", "p"), ("p_holm", "p (Holm)"),
        ))  # fmt: skip
    if rows := made.get("tests_right_and_wrong"):
        yield _table("right against wrong answers", rows, (
            ("model", "model"), ("measure", "measure"), ("n_right", "right"), ("n_wrong", "wrong"),
            ("difference", "difference"), ("low", "low"), ("high", "high"), ("p", "p"), ("p_holm", "p (Holm)"),
        ))  # fmt: skip
    if rows := made.get("forking_overlap"):
        yield _table("forking tokens (the 20 % of highest entropy) shared by two models", rows, (
            ("a", "a"), ("b", "b"), ("overlap", "overlap"), ("overlap_by_chance", "by chance"),
            ("jaccard", "Jaccard"), ("jaccard_by_chance", "by chance"),
        ))  # fmt: skip
    for name, title in (("by_source", "by source"), ("takeovers", "where another source took over")):
        if rows := made.get(name):
            columns = [c for c in ("model", "source", "where", "tokens", "mean_entropy", "low", "high") if c in rows[0]]
            yield _table(title, rows, [(c, c) for c in columns])


def _table(title: str, rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> Table:
    def cell(name: str, value: Any) -> str:
        if isinstance(value, float):
            return tables.p_value(value) if name in ("p", "p_holm", "p_bh") else tables.number(value)
        return str(value)

    headings = [(heading, not isinstance(rows[0].get(name), str)) for name, heading in columns]
    return tables.table(title, headings, [[cell(name, row.get(name)) for name, _ in columns] for row in rows])
