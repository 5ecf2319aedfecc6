"""`lmx mediate`: which activations of a model carry the count."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lmx_cli.output import tracked
from lmx_files.errors import unknown
from lmx_files.values import whole_numbers

DTYPES = ("float32", "float64", "bfloat16", "float16")


def mediate(
    run: Annotated[
        Path | None,
        typer.Argument(help="A finished run of a counting task with --log_samples; without it, -o is analysed again."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for what is measured, tables and plots; resumed if it is there."),
    ] = Path("mediation"),
    model: Annotated[str | None, typer.Option(help="An open-weight model; else the run's own.")] = None,
    task: Annotated[str | None, typer.Option(help="A counting task of the run; needed if it holds several.")] = None,
    components: Annotated[
        str, typer.Option(help="residual, attention, mlp, head; with commas.")
    ] = "residual,attention,mlp,head",
    layers: Annotated[str, typer.Option(help="Layers with commas or a range, e.g. 0-11; else all.")] = "",
    heads: Annotated[str, typer.Option(help="Heads with commas or a range; else all.")] = "",
    roles: Annotated[str, typer.Option(help="Places with commas, e.g. later_separator,cue; else all.")] = "",
    pairs: Annotated[int | None, typer.Option(min=2, help="At most this many pairs that move the count.")] = None,
    controls: Annotated[float, typer.Option(min=0, max=1, help="Share of control pairs beside them.")] = 0.25,
    screen: Annotated[
        float, typer.Option(min=0.001, max=1, help="Measure this share of cells, chosen by attribution patching.")
    ] = 1.0,
    lists: Annotated[
        int, typer.Option(min=0, help="Lists for count transfer and the probe for a running count; 0: neither.")
    ] = 64,
    one_way: Annotated[bool, typer.Option("--one-way", help="Noising only: no NDE, TIE and interaction.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu; else the fastest.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float64, bfloat16 or float16.")] = "float32",
    bootstrap: Annotated[int, typer.Option(min=99, help="Draws behind intervals and p.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Seed of pairs and draws.")] = 1234,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No PNG and SVG, which need matplotlib.")] = False,
) -> None:
    """Measure which layer, component and position carries the count, by exchanging activations between prompts.

    Pairs of prompts differ in one word, so that the right count moves by one. See docs/analyses/mediation.md.
    """
    from lmx_analysis.figures import require_matplotlib
    from lmx_plugins.guards import check_output_path

    check_output_path(output, "-o")
    if not no_plots:
        require_matplotlib()
    if dtype not in DTYPES:
        raise unknown("--dtype", dtype, DTYPES)
    if run is not None:
        asked: dict[str, Any] = {
            "task": task, "components": _names(components), "layers": whole_numbers(layers, "--layers"),
            "heads": whole_numbers(heads, "--heads"), "pairs": pairs, "controls": controls, "seed": seed,
            "both": not one_way, "screen": screen, **({"roles": _names(roles)} if roles else {}),
        }  # fmt: skip
        _measure(run, output, model, device, dtype, lists, asked)
    _analyse(output, bootstrap, seed, not no_plots)


def _measure(
    run: Path, output: Path, model: str | None, device: str | None, dtype: str, lists: int, asked: dict[str, Any]
) -> None:
    from lmx_analysis.mediation.extras import directions, fitted
    from lmx_analysis.mediation.results import read
    from lmx_files.runs.folders import read_run
    from lmx_probes.mediation import extras, study
    from lmx_probes.mediation.subject import Subject, subject_of

    found = read_run(run)
    subject = Subject(model) if model else subject_of(found, _arguments)
    made = study.run_study(found, output, subject, device, dtype, study.Options(**asked), _progress)
    if not lists:
        return
    layers, seed = asked["layers"] or tuple(range(made.patcher.sites.layers)), asked["seed"]
    extras.measure_transfer(made, output, layers, lists, seed, _progress)
    extras.measure_running(made, output, layers, lists, seed, _progress)
    probes = fitted(read(output)[1], seed)
    extras.measure_steering(made, output, directions(probes), lists, seed, _progress)


def _analyse(output: Path, bootstrap: int, seed: int, plots: bool) -> None:
    from lmx_analysis.mediation import results
    from lmx_analysis.mediation.estimates import Settings
    from lmx_analysis.mediation.section import section
    from lmx_analysis.tables import console, write_files

    study, tables = results.read(output)
    found = results.analyse(study, tables, Settings(bootstrap, seed))
    written = results.files(found, tables, plots)
    write_files(output, written)
    section(found["document"], found["cells"][found["main"]], written).write(output)
    screen = console()
    for line in found["document"]["conclusions"]:
        screen.print(f"- {line}", markup=False, highlight=False)
    screen.print(f"{output / 'mediation_results.json'}", markup=False, highlight=False)


def _arguments(text: str) -> Any:
    from lmx_models.harness.asking import arguments_of

    return arguments_of(text, "the run's model_args")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_progress = partial(tracked, what="measuring")
