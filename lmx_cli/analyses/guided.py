"""`lmx guided-curve`, `lmx guided-export`, `lmx guided-stats`: what to do with finished runs of `--model guided`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmx_cli.output import check_folder, tracked
from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal

if TYPE_CHECKING:
    from lmx_analysis.guided_stats.statistics import Options, Statistics

DTYPES = ("float32", "bfloat16", "float16")
Runs = Annotated[list[Path], typer.Argument(help="Folders of finished runs, of a sweep, or results_*.json files.")]
Task = Annotated[str | None, typer.Option(help="A task or group; needed only if the runs hold several.")]
Metric = Annotated[str | None, typer.Option(help="What counts as right; else the task's first main metric.")]
Filter = Annotated[str | None, typer.Option("--filter", help="One of lm_eval's filters; else the first.")]
Cluster = Annotated[
    str | None, typer.Option(help="Field of a document that groups documents that are not independent.")
]
Bootstrap = Annotated[int, typer.Option(min=99, help="Permutations behind each p.")]
Seed = Annotated[int, typer.Option(help="Seed of the draws.")]
Traces = Annotated[Path | None, typer.Option(help="The traces file, if the run was told to keep it elsewhere.")]
NoPlots = Annotated[bool, typer.Option("--no-plots", help="No PNG and SVG, which need matplotlib.")]


def guided_curve(
    runs: Runs,
    task: Task = None,
    metric: Metric = None,
    by: Annotated[
        str | None, typer.Option(help="Settings that make separate lines beside the policy, with commas, e.g. k.")
    ] = None,
    filter_name: Filter = None,
    cluster: Cluster = None,
    axis: Annotated[
        str, typer.Option(help="share: of the oracle's tokens; tokens: of the oracle, for each problem.")
    ] = "share",
    seeds: Annotated[
        str, typer.Option(help="nested in documents, as sampling's are; crossed: seeds of training.")
    ] = "nested",
    split: Annotated[
        bool, typer.Option("--split", help="Choose the best setting on half of the documents, report it on the others.")
    ] = False,
    bootstrap: Annotated[int, typer.Option(min=99, help="Draws behind simultaneous intervals.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of these draws, and of the halves of --split.")] = 1234,
    traces: Traces = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the tables (CSV, JSON) and the plot (PNG, SVG).")
    ] = None,
    no_plots: NoPlots = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Accuracy against the share of tokens that the oracle wrote, a line for each policy, with intervals.

    Runs that differ in nothing but the seed are one point. Shown beside it: the recovered gap (accuracy - base) /
    (oracle - base), its area, and the difference from random consultation at the same share.
    See docs/decoding/guided_math.md.
    """
    from lmx_analysis.figures import require_matplotlib
    from lmx_analysis.guided_curve import output as outputs
    from lmx_analysis.guided_curve.curve import guided_curve as estimate_curve
    from lmx_analysis.guided_curve.model import Options
    from lmx_analysis.tables import console, json_text, write_files

    if output is not None:
        check_folder(output)
        if not no_plots:
            require_matplotlib()
    names = tuple(name.strip() for name in (by or "").split(",") if name.strip())
    options = Options(task, metric, names, filter_name, cluster, bootstrap, seed, axis, seeds, split)
    curve = estimate_curve([*runs], options, traces, lambda pairs: tracked(pairs, "reading"))
    if output is not None:
        write_files(output, outputs.files(curve, not no_plots))
    if as_json:
        terminal.say_json(json_text(outputs.document(curve)))
        return
    screen = console()
    screen.print(outputs.point_table(curve))
    if (areas := outputs.area_table(curve)) is not None:
        screen.print(areas)
    if chosen := outputs.chosen_text(curve):
        screen.print(f"\n{chosen}", markup=False, highlight=False)
    for note in curve.notes:
        screen.print(f"note: {note}", markup=False, highlight=False)


def guided_export(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSONL file to write.")],
    task: Annotated[str | None, typer.Option(help="Only this task or group; else all.")] = None,
    filter_name: Filter = None,
    traces: Traces = None,
) -> None:
    """Write guided answers as the study's JSONL: who wrote what, where the oracle was asked, and what was right.

    One line for each answer of every guided run that is found; docs/decoding/guided_math.md describes the fields.
    """
    from lmx_analysis.guided.export import records
    from lmx_analysis.guided.runs import choose_tasks, find_guided_runs
    from lmx_files import jsonl

    if output.is_dir():
        raise UserError(f"-o {output} is a folder: name a file, e.g. {output / 'guided.jsonl'}")
    found, notes = find_guided_runs([*runs], traces)
    tasks = choose_tasks(found, task) if task else list(dict.fromkeys(t for run in found for t in run.sample_files))
    count = jsonl.write(output, records(list(tracked(found, "writing")), tasks, filter_name, notes))
    for note in notes:
        terminal.say(f"note: {note}", error=True)
    terminal.say(f"{output} ({count} answers of {len(found)} runs)")


def guided_stats(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tables, the JSONL and the plots.")],
    mode: Annotated[str, typer.Option(help="corrected, or seed: the study's columns with their flaws.")] = "corrected",
    base: Annotated[
        str | None,
        typer.Option(help="Load this base, e.g. where its folder has moved; else the one that the runs name."),
    ] = None,
    task: Task = None,
    metric: Metric = None,
    filter_name: Filter = None,
    batch_size: Annotated[int, typer.Option("--batch_size", min=1, help="Texts in one forward.")] = 8,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu; else cuda where there is one.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    bootstrap: Bootstrap = 2_000,
    seed: Seed = 1234,
    traces: Traces = None,
    no_plots: NoPlots = False,
) -> None:
    """Measure the base where the oracle was asked: entropies, probabilities, attention; set against correctness.

    The base reads prompt and answer once more, as far as the last consultation. Given the folder that an earlier call
    wrote, its tables and plots are made again without a model. See docs/decoding/guided_math.md.
    """
    from lmx_analysis.figures import require_matplotlib

    check_folder(output)
    if not no_plots:
        require_matplotlib()
    _check_dtype(dtype)
    from lmx_analysis.guided_stats import output as outputs
    from lmx_analysis.guided_stats.measured import is_measured, read_measured
    from lmx_analysis.guided_stats.statistics import Options
    from lmx_analysis.tables import console, write_files

    parts = output / "measured"
    if len(runs) == 1 and is_measured(runs[0]):
        if mode != "corrected" or any(each is not None for each in (base, task, metric, filter_name, device, traces)):
            raise UserError(
                f"{runs[0]} was measured already: --bootstrap, --seed and --no-plots are all that can change"
            )
        found = read_measured(runs[0])
    else:
        found = _measure(runs, Options(mode, base, task, metric, filter_name, batch_size), traces, parts, dtype, device)
    rows = outputs.correlations(found, bootstrap, seed)
    write_files(output, outputs.files(found, rows, {"resamples": bootstrap, "seed": seed}, not no_plots))
    if found.runs:
        shutil.rmtree(parts, ignore_errors=True)  # what they hold is in the files
    screen = console()
    screen.print(outputs.correlation_table(found, rows))
    for note in found.notes:
        screen.print(f"note: {note}", markup=False, highlight=False)


def _measure(
    runs: list[Path], options: Options, traces: Path | None, parts: Path, dtype: str, device: str | None
) -> Statistics:
    from lmx_analysis.guided_stats.statistics import choose, combine

    chosen = choose([*runs], options, traces)
    from lmx_probes.guided_stats.measure import Settings, measure

    settings = Settings(chosen.base, options.mode, options.batch_size, dtype, device)
    measured = measure(chosen.asked, settings, parts, lambda batches: tracked(batches, "measuring"))
    return combine(chosen, measured.base, measured.measured_with, measured.rows)


def _check_dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise unknown("--dtype", dtype, DTYPES)
