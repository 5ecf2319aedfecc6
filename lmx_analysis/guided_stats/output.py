"""Guided statistics as files: the study's JSONL, a tidy table, correlations, plots and a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from lmx_analysis.figures import COLOURS, new_figure, rendered
from lmx_analysis.guided_stats.correlation import Correlation, correlate
from lmx_analysis.guided_stats.measured import measured_files
from lmx_analysis.guided_stats.statistics import Statistics
from lmx_analysis.stats import LEVEL
from lmx_analysis.tables import csv_text, json_text, number, p_value, table
from lmx_files import csv, jsonl, manifest

OF_NEXT_TOKEN = ("entropy", "varentropy", "top_prob", "prob_top2_diff")
OF_ATTENTION = ("attn_entropy", "attn_varentropy", "agreement", "interaction_strength")
MEASURES = (*OF_NEXT_TOKEN, *OF_ATTENTION, "normalized_position", "oracle_tokens")


def correlations(found: Statistics, resamples: int, seed: int) -> list[Correlation]:
    """Return the correlation of every statistic with `acc`, documents being the clusters."""
    columns = {name: [row[name] for row in found.rows] for name in MEASURES}
    clusters = [(row["task"], row["doc_id"]) for row in found.rows]
    correct = [row["acc"] for row in found.rows]
    return correlate(columns, correct, clusters, resamples, seed, found.row_texts, found.correct)


def correlation_table(found: Statistics, rows: Sequence[Correlation]) -> Table:
    """Return the correlations for the screen."""
    columns = [("statistic", False), ("coefficient", False), ("n", True), ("documents", True), ("fewest", True)]
    columns += [("r", True), ("95% interval", False), ("p", True), ("p (BH)", True)]
    lines = [
        [
            each.measure, each.coefficient, str(each.n), str(each.clusters), str(each.fewest),
            number(each.value, signed=True),
            "" if each.low != each.low else f"[{number(each.low, True)}, {number(each.high, True)}]",
            p_value(each.p), p_value(each.p_bh),
        ]
        for each in rows
    ]  # fmt: skip
    return table(f"Correlation with {found.metric}, mode {found.options.mode}", columns, lines)


def _safe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with texts that no spreadsheet takes for formulas."""
    texts = frame.select_dtypes(exclude=["number", "bool"])
    return frame.assign(**{str(name): texts[name].map(csv.cell) for name in texts}).rename(columns=csv.cell)


def files(found: Statistics, rows: Sequence[Correlation], bootstrap: dict[str, int], plots: bool) -> dict[str, Any]:
    """Return the output files by name."""
    frame = pd.DataFrame(found.rows)
    written: dict[str, Any] = {
        "consultations.csv": _safe(frame).to_csv(index=False, lineterminator="\n"),
        "correlations.csv": csv_text([each.record() for each in rows]),
        "correlations.json": json_text([each.record() for each in rows]),
    }
    lines = (jsonl.strict(line) + "\n" for line in found.answers)
    written = {"guided_stats.jsonl": "".join(lines), **measured_files(found), **written}
    if plots:
        written |= _forest(found, rows) | _distributions(found, frame)
    return written | {"guided_stats_manifest.json": json_text(_manifest(found, bootstrap))}


def _manifest(found: Statistics, bootstrap: dict[str, int]) -> dict[str, Any]:
    settings = {**asdict(found.options), "bootstrap": bootstrap, "confidence": LEVEL}
    return {
        **manifest.of_analysis(
            found.inputs or manifest.hashes(_files_of(found)), settings, {"permutations": bootstrap["seed"]}
        ),
        "tasks": found.tasks,
        "metric": found.metric,
        "base": found.base,
        "measured_with": found.measured_with,
        "consultations": len(found.rows),
        "texts": len(found.answers),
        "notes": found.notes,
    }


def _files_of(found: Statistics) -> Iterator[Path]:
    """Yield the files that were read."""
    for run in found.runs:
        yield from (run.file, *(run.sample_files[t] for t in found.tasks if t in run.sample_files), *run.trace_files())


def _forest(found: Statistics, rows: Sequence[Correlation]) -> dict[str, bytes]:
    """Return the picture of all correlations with their intervals."""
    drawing = new_figure(7, 4.5)
    axes = drawing.add_subplot()
    names = list(dict.fromkeys(each.measure for each in rows))
    for shift, coefficient in enumerate(dict.fromkeys(each.coefficient for each in rows)):
        chosen = [each for each in rows if each.coefficient == coefficient and each.value == each.value]
        places = [names.index(each.measure) + 0.3 * shift - 0.15 for each in chosen]
        below = [0.0 if each.low != each.low else each.value - each.low for each in chosen]
        above = [0.0 if each.high != each.high else each.high - each.value for each in chosen]
        axes.errorbar(
            [each.value for each in chosen], places, xerr=[below, above], fmt="o", color=COLOURS[shift], markersize=4,
            elinewidth=1, capsize=2, label=coefficient,
        )  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(f"correlation with {found.metric}, 95 % intervals over documents")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
    return rendered(drawing, "correlations")


def _distributions(found: Statistics, frame: pd.DataFrame) -> dict[str, bytes]:
    """Return the picture of each statistic's distribution, in answers with full marks and in the others."""
    drawing = new_figure(11, 6)
    panels = drawing.subplots(2, 5).ravel()
    right = frame["acc"] >= 1
    for panel, name in zip(panels, MEASURES, strict=True):
        values = pd.to_numeric(frame[name])
        low, high = values.min(), values.max()
        for label, chosen, colour in (("right", right, COLOURS[0]), ("wrong", ~right, COLOURS[1])):
            part = values[chosen].dropna()
            if len(part):
                span = (low, high) if high > low else (low - 0.5, low + 0.5)
                panel.hist(
                    part, bins=20, range=span, weights=[1 / len(part)] * len(part), histtype="step", color=colour,
                    label=f"{label} (n = {len(part)})",
                )  # fmt: skip
        panel.set_title(name.replace("_", " "), fontsize=9)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel("share of consultations", fontsize=8)
    panels[0].legend(fontsize=7)
    drawing.suptitle(f"{', '.join(found.tasks)}, right by {found.metric}, mode {found.options.mode}", fontsize=10)
    return rendered(drawing, "distributions")
