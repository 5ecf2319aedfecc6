"""Puts the report together: reads the runs, packs the data, and writes one HTML file in one go."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2

from lmx_analysis.report import summary
from lmx_analysis.report.categories import category_means
from lmx_analysis.report.pack import Chunk, bytes_chunk, csp_hash, json_chunk
from lmx_analysis.report.samples import TaskTable, read_samples
from lmx_analysis.report.studies import Studies, read_studies
from lmx_analysis.timing import side_by_side, span_of
from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_files.reading import open_following_links, reason
from lmx_files.runs.folders import Run, find_runs

# Bytes of compressed rows in one block of texts: what a click on a sample has to inflate.
BLOCK = 64_000
STYLES = ("base", "results", "samples", "screens")
SCRIPTS = ("data", "dom", "table", "charts", "figures", "text", "list", "sample", "browser", "studies", "main")
Progress = Callable[[str, int, int], None]


def write_report(
    paths: list[str | Path],
    output: str | Path,
    title: str | None = None,
    progress: Progress | None = None,
    notes: list[str] | None = None,
) -> Path:
    """Write the report on all runs and analyses at or below `paths` to `output`; an older one is replaced at the end.

    Args:
        paths: folders, or results files, of finished runs; folders that an analysis wrote (`lmx_analysis.sections`).
        output: the HTML file to write.
        title: heading of the page.
        progress: called with what is being done, how much of it is done, and how much there is.
        notes: what stands above the results as a warning is added here too.

    Raises:
        UserError: there are neither runs nor analyses, something cannot be read, or the file cannot be written.
    """
    output = Path(output)
    if output.is_dir():
        raise UserError(f"{output} is a folder: give -o a file, e.g. {output / 'report.html'}")
    studies = read_studies(paths, output)
    runs = _runs(paths, studies)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(output) as page:
            told = [] if notes is None else notes
            heading = title or "Evaluation report"
            for part in _render(runs, studies, output, heading, progress or (lambda *_: None), told):
                page.write(part)
    except OSError as error:
        raise UserError(
            f"cannot write {output}: {reason(error)}. Give -o a file in a folder you may write to"
        ) from error
    return output


def _runs(paths: list[str | Path], studies: Studies) -> list[Run]:
    """Return the runs of all paths, each once, in the order given and by time within a folder."""
    found: dict[Path, Run] = {}
    for path in paths:
        runs = find_runs(path)
        if not runs and str(path) not in studies.paths:
            raise UserError(
                f"{path} holds no results_*.json and no report_section.json: give the --output_path of a finished run, "
                "or the folder that an analysis wrote"
            )
        for run in runs:
            found.setdefault(run.file.resolve(), run)
    return list(found.values())


def _render(
    runs: list[Run], studies: Studies, output: Path, title: str, progress: Progress, told: list[str]
) -> Iterator[str]:
    total, done = sum(map(_lines, (file for run in runs for file in run.sample_files.values()))), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if done % 100 == 0:
            progress("reading samples", done, total)

    tasks, traces, notes = read_samples(runs, tick)
    labels = summary.labels(runs)
    if shared := side_by_side({label: span_of(run) for label, run in zip(labels, runs, strict=True)}):
        notes.append(f"{', '.join(shared)}: ran at the same time on one machine and shared it, so times are longer")
    told += notes
    meta: dict[str, Any] = {
        "title": title,
        "written": datetime.now(tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "lmx": metadata.version("lmx-eval"),
        "notes": notes,
        "runs": [
            summary.describe(run, label)
            | {
                "cost": summary.costs(run, found),
                "plots": summary.plots(run, output),
                "samples": bool(run.sample_files),
            }
            for run, label, found in zip(runs, labels, traces, strict=True)
        ],
        "leaderboard": summary.leaderboard(runs),
        "studies": studies.sections,
    }
    orders = [table.order() for table in tasks]
    early = list(_columns(tasks, orders))
    rows = [(table, number) for table, order in zip(tasks, orders, strict=True) for number in order]
    per_block = _rows_per_block(tasks, len(rows))
    index = _index(tasks, orders, rows, per_block)
    script = "'use strict';\n" + "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    style = "\n".join(_part(f"styles/{name}.css") for name in STYLES)
    template = jinja2.Environment(autoescape=True).from_string(
        _part("report.html.j2"),
        {
            "script": script,
            "style": style,
            "script_hash": csp_hash(script),
            "style_hash": csp_hash(style),
        },
    )
    yield from template.generate(
        title=title,
        early=[json_chunk("meta", meta), json_chunk("index", index), *early],
        late=itertools.chain(studies.pictures, _blocks(rows, per_block, progress)),
    )


def _index(
    tasks: list[TaskTable], orders: list[list[int]], rows: list[tuple[TaskTable, int]], per_block: int
) -> dict[str, Any]:
    """Return what the list of samples needs of all of them."""
    return {
        "per_block": per_block,
        "tasks": [
            {"name": table.name, "rows": len(order), "metrics": list(table.metrics), "binary": _binary(table)}
            for table, order in zip(tasks, orders, strict=True)
        ],
        "doc_ids": [ids[i] for ids, order in zip((t.doc_ids() for t in tasks), orders, strict=True) for i in order],
        "snippets": [table.snippets[number] for table, number in rows],
    }


def _part(name: str) -> str:
    return (resources.files("lmx_analysis.report") / "page" / name).read_text(encoding="utf-8")


def _columns(tasks: list[TaskTable], orders: list[list[int]]) -> Iterator[Chunk]:
    """Yield, for each task, its means by category and, for each metric and run, the values as little-endian doubles."""
    for number, (table, order) in enumerate(zip(tasks, orders, strict=True)):
        yield json_chunk(f"categories-{number}", category_means(table))
        for metric in table.metrics.values():
            for run in range(table.runs):
                values = table.column(metric, run)[order].astype("<f8")
                yield bytes_chunk(f"column-{number}-{metric}-{run}", values.tobytes())


def _blocks(rows: list[tuple[TaskTable, int]], per_block: int, progress: Progress) -> Iterator[Chunk]:
    for block, begin in enumerate(range(0, len(rows), per_block)):
        progress("packing texts", begin, len(rows))
        part = rows[begin : begin + per_block]
        yield json_chunk(f"block-{block}", [table.row(number) for table, number in part])


def _rows_per_block(tasks: list[TaskTable], rows: int) -> int:
    """Return how many rows share a block, so that a row's block follows from its number alone."""
    size = sum(table.packed_size() for table in tasks)
    return max(1, min(256, round(BLOCK * rows / size))) if size else 1


def _binary(table: TaskTable) -> list[bool]:
    """Return for each metric whether all its values are 0 or 1, so that right and wrong make sense."""
    values = [[table.columns.get((metric, run), ()) for run in range(table.runs)] for metric in table.metrics.values()]
    return [all(value in (0, 1) or value != value for column in columns for value in column) for columns in values]


def _lines(path: Path) -> int:
    with open_following_links(path) as file:
        return sum(1 for _ in file)
