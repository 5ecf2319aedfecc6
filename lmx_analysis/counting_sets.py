"""What the validation of a set of counting items shows: conclusions, tables, pictures, a section of the report.

It reads the results only, so that all can be made again without a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table as ScreenTable

from lmx_analysis.figures import COLOURS, new_figure, rendered
from lmx_analysis.sections import Picture, Section, Table
from lmx_analysis.tables import number, table

Results = Mapping[str, Any]
KINDS = ("right", "wrong", "undecided", "duplicate", "malformed")
GROUPS = {"by_count": "right count", "by_length": "length of the list", "by_category": "category"}
SHOWN = 10
"""Bad examples in the report."""


def conclusions(results: Results) -> list[str]:
    """Return what the validation says, in sentences."""
    found = results["verdicts"]
    design = results["design"]
    use = design["word_use"]
    said = [
        f"{results['items']} items: " + ", ".join(f"{found[kind]} {kind}" for kind in KINDS)
        + (f"; accuracy {results['accuracy']:.4f} of those decided" if results["accuracy"] is not None else ""),
        "membership decided by "
        + (", ".join(f"{who} {n}" for who, n in sorted(results["decided_by"].items())) or "nobody")
        + (f" (model: {results['model']})" if results.get("model") else ""),
        f"flatness: {design['cells']} cells of length and count differ by at most "
        f"{design['largest_difference_of_cells']}"
        f" items, categories within a count by at most {design['largest_difference_of_categories_in_a_count']}",
    ]  # fmt: skip
    if use["largest_distance"] is not None:
        said.append(
            f"words are used {use['mean']:.1f} times each; farthest from its category's mean is {use['word']!r}, by "
            f"{use['largest_distance']:.1%}"
        )
    if design["surface_r2"] is not None:
        said.append(
            f"the words' characters and vowels predict the count with out-of-fold R2 {design['surface_r2']:.4f}"
        )
    if found["undecided"]:
        said.append("undecided items need a model that can judge them: lmx counting validate --model")
    return said


def screen_tables(results: Results) -> list[ScreenTable]:
    """Return the tables that are printed: by count, length and category."""
    return [
        table(
            f"by {GROUPS[name]}",
            [(GROUPS[name], False), ("n", True), ("accuracy", True), *((kind, True) for kind in KINDS)],
            [
                [str(row["group"]), str(row["n"]), number(row["accuracy"]), *(str(row[kind]) for kind in KINDS)]
                for row in results[name]
            ],
        )
        for name in GROUPS
    ]


def files(results: Results, plots: bool) -> dict[str, bytes]:
    """Return the pictures by their names: verdicts by count, length and category."""
    made: dict[str, bytes] = {}
    for name in GROUPS if plots else ():
        made |= _bars(results[name], GROUPS[name], f"validation_{name}")
    return made


def section(results: Results, made: Mapping[str, bytes]) -> Section:
    """Return the section of the report."""
    columns = ["n", "accuracy", *KINDS]
    tables = [
        Table(
            title=f"By {what}",
            columns=[what, *columns],
            rows=[[str(row["group"]), *(row[column] for column in columns)] for row in results[name]],
            note="Accuracy is over the items that are right or wrong.",
        )
        for name, what in {**GROUPS, "by_source": "source"}.items()
    ]
    bad = results["bad_examples"][:SHOWN]
    if bad:
        rows: list[list[Any]] = [[row["item"], row["verdict"], row["count"], row["found"], row["why"]] for row in bad]
        tables.append(Table(title="Bad examples", columns=["item", "verdict", "count", "found", "why"], rows=rows))
    pictures = [
        Picture(file=f"validation_{name}.png", caption=f"Verdicts by {what}.")
        for name, what in GROUPS.items()
        if f"validation_{name}.png" in made
    ]
    return Section(
        analysis="counting validate",
        title=f"Counting items: {results.get('examples', '')}",
        text=conclusions(results),
        tables=tables,
        pictures=pictures,
    )


def _bars(rows: Sequence[Mapping[str, Any]], what: str, name: str) -> dict[str, bytes]:
    """Return stacked bars of verdicts, one bar a group."""
    figure = new_figure(max(4.0, 0.3 * len(rows) + 2), 3.4)
    axes = figure.subplots()
    at = list(range(len(rows)))
    below = [0] * len(rows)
    for kind, colour in zip(KINDS, (COLOURS[2], COLOURS[1], COLOURS[4], COLOURS[3], COLOURS[6]), strict=True):
        heights = [row[kind] for row in rows]
        if any(heights):
            axes.bar(at, heights, bottom=below, color=colour, label=kind)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    names = [str(row["group"]) for row in rows]
    axes.set_xticks(at, names, rotation=90 if any(len(each) > 3 for each in names) else 0)
    axes.set_xlabel(what)
    axes.set_ylabel("items")
    axes.legend(frameon=False)
    return rendered(figure, name)
