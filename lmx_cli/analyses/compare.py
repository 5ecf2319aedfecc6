"""`lmx compare`: runs side by side, with paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmx_cli.output import check_folder, tracked
from lmx_files.errors import UserError
from lmx_files.safety import terminal


# long: a parameter an option
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Results folders or results_*.json files, the reference first.")],
    names: Annotated[
        str | None,
        typer.Option(help="Names of the runs, with commas; else from the paths. Runs of one name are averaged."),
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Name of the run that the others are compared with.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, with commas.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Only these metrics, with commas, or `all`; else those that the task declares as its main."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Field of a document that groups documents which are not independent.")
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            help="What metrics are, where their task does not say: acc=rate,steps=count (rate score count cost)."
        ),
    ] = None,
    correction: Annotated[
        str, typer.Option(help="The correction that verdicts follow: holm or max-t. Choose before you look.")
    ] = "holm",
    pool_seeds: Annotated[
        bool, typer.Option("--pool-seeds/--each-seed", help="Average runs that differ in nothing but the seed.")
    ] = True,
    bootstrap: Annotated[int, typer.Option(min=99, help="Sign flips to draw, at least.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the sign flips.")] = 1234,
    allow_different_prompts: Annotated[
        bool, typer.Option("--allow-different-prompts", help="Pair by document where the rendered prompts differ.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for scores.csv, differences.csv and compare.json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs: one table of scores, and paired differences with intervals and corrected p values.

    Samples are paired by task, document and prompt. Rates (0/1) of independent documents: McNemar's exact test;
    others: sign flips of cluster sums; corrections by Holm and by max-T over the rows shown.
    See docs/analyses/compare.md.
    """
    from lmx_analysis.compare import output as outputs
    from lmx_analysis.compare.comparison import Options
    from lmx_analysis.compare.comparison import compare as compare_runs
    from lmx_analysis.tables import console, json_text, write_files

    if output is not None:
        check_folder(output)
    options = Options(
        tasks=_listed(tasks, "--tasks"),
        metrics=_listed(metrics, "--metrics"),
        cluster=cluster,
        resamples=bootstrap,
        seed=seed,
        by_prompt=not allow_different_prompts,
        pool=pool_seeds,
        correction=correction,
        kinds=_kinds(kinds),
    )
    result = compare_runs(runs, options, _listed(names, "--names"), reference, lambda rows: tracked(rows, "testing"))
    if output is not None:
        write_files(output, outputs.files(result))
    if as_json:
        terminal.say_json(json_text(outputs.document(result)))
        return
    screen = console()
    screen.print(outputs.score_table(result))
    differences = outputs.difference_table(result)
    if differences is not None:
        screen.print(differences)
    for note in result.notes:
        screen.print(f"note: {note}", markup=False, highlight=False)


def _listed(value: str | None, option: str) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise UserError(f"{option} {value!r} names nothing")
    return names


def _kinds(value: str | None) -> dict[str, str]:
    from lmx_analysis.stats import metric_of

    found = {}
    for part in _listed(value, "--kinds") or ():
        name, equals, kind = part.partition("=")
        if not (name and equals and kind):
            raise UserError(f"--kinds {part!r}: write METRIC=KIND, with commas, as in acc=rate,steps=count")
        metric_of(kind, f"{name} in --kinds")
        found[name] = kind
    return found
