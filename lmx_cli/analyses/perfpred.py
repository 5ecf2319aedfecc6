"""`lmx perfpred`: predict a model's score on a task from the task's instruction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lmx_cli.analyses import weight_diff
from lmx_cli.output import check_folder, tracked
from lmx_files.errors import UserError
from lmx_files.safety import terminal

CHEAP = "mean,category_mean,tfidf_ridge,tfidf_knn,forest,other_models,pilot1,pilot3,pilot5,pilot10"
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for what is written.")]
HELP = "Predict a model's score on a task from the task's instruction: data set, predictors, judgement."


def build_app(group: Any) -> typer.Typer:
    """Return the `perfpred` commands; `group` is the class that answers unknown ones."""
    app = typer.Typer(cls=group, no_args_is_help=True, help=HELP)
    for name, command in (("build", build), ("combine", combine), ("train", train), ("aggregate", aggregate)):
        app.command(name)(command)
    app.add_typer(weight_diff.build_app(group), name="weight-diff")
    app.callback()(_root)
    return app


def _root() -> None:
    """Hold the group's help, which typer reads from above."""


def build(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs with samples, or results_*.json files.")],
    output: Output,
    tasks: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines (.gz too) with Task, Definition, Categories and Source, such as lmx data prepare writes: "
            "for what the results do not say."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="What to call the model of these runs.")] = None,
    rouge: Annotated[str | None, typer.Option(help="Metric for predict_rougeL; else rougeL.")] = None,
    exact_match: Annotated[
        str | None, typer.Option("--exact_match", help="Metric for predict_exact_match; else exact_match or acc.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="Metric for predict_loss; else loss.")] = None,
    filter_name: Annotated[
        str | None, typer.Option("--filter", help="One of lm_eval's filters; else the first.")
    ] = None,
    allow_different_prompts: Annotated[
        bool, typer.Option("--allow-different-prompts", help="Models may have had other prompts (chat templates).")
    ] = False,
) -> None:
    """Write the data set, a row for each task and model: dataset.csv (the study's columns) and dataset.parquet.

    See docs/analyses/performance_prediction.md.
    """
    from lmx_analysis.performance_prediction import build as building
    from lmx_analysis.performance_prediction import data, tasks_file
    from lmx_files.atomic import write_files

    check_folder(output)
    metrics = {"rougeL": rouge, "exact_match": exact_match, "loss": loss}
    options = building.Options(
        {target: name for target, name in metrics.items() if name}, filter_name, model, allow_different_prompts
    )
    about = tasks_file.read(tasks) if tasks else None
    made = building.build(runs, about, options, lambda items: tracked(items, "reading"))
    write_files(output, data.files(made.rows))
    _say(made.notes)
    models = len({row.model for row in made.rows})
    terminal.say(f"{output}/{data.FILE}.csv and .parquet ({len(made.rows)} rows, {models} model(s))")


def combine(
    dataset: Annotated[Path, typer.Argument(help="A data set: folder, .parquet or .csv.")],
    losses: Annotated[Path, typer.Argument(help="Another with predict_loss, or a CSV of task, model, predict_loss.")],
    output: Output,
    replace: Annotated[bool, typer.Option("--replace", help="Losses that are there already give way.")] = False,
) -> None:
    """Merge the losses of one data set into another, by task and model."""
    from lmx_analysis.performance_prediction import combine as combining
    from lmx_analysis.performance_prediction import data
    from lmx_files.atomic import write_files

    check_folder(output)
    rows = combining.combine(data.read(dataset), losses, replace)
    write_files(output, data.files(rows))
    terminal.say(f"{output}/{data.FILE}.csv and .parquet ({len(rows)} rows)")


def train(
    dataset: Annotated[Path, typer.Argument(help="A data set: folder, .parquet or .csv.")],
    output: Output,
    predictors: Annotated[str, typer.Option(help="Names with commas; lmx plugins lists what there is.")] = CHEAP,
    target: Annotated[str, typer.Option(help="rougeL, exact_match or loss.")] = "rougeL",
    targets: Annotated[
        str, typer.Option(help="standardised by the training tasks, or raw (as published).")
    ] = "standardised",
    protocol: Annotated[
        str, typer.Option(help="source, category or task (every task out of fold), or published (ten random splits).")
    ] = "source",
    seeds: Annotated[str, typer.Option(help="With commas; else 42 to 51 (published) or 42.")] = "",
    folds: Annotated[int, typer.Option(min=0, help="0 leaves out each group by itself.")] = 10,
    near: Annotated[
        float, typer.Option(min=0.1, max=1, help="Jaccard similarity of near-duplicate definitions.")
    ] = 0.8,
    deduplicate: Annotated[bool, typer.Option("--deduplicate", help="Keep one of near-duplicate definitions.")] = False,
    model: Annotated[str | None, typer.Option(help="Whose scores; else those of every model.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Of a predictor: PREDICTOR.NAME=VALUE; may be repeated.")
    ] = None,
) -> None:
    """Try predictors on a data set and write what each predicted; goes on where it was interrupted.

    See docs/analyses/performance_prediction.md.
    """
    from lmx_analysis.performance_prediction import data
    from lmx_analysis.performance_prediction import train as training
    from lmx_analysis.performance_prediction.shown import output as outputs
    from lmx_files.atomic import write_files

    check_folder(output)
    names = tuple(name.strip() for name in predictors.split(",") if name.strip())
    options = training.Options(
        names, target, targets, protocol, _numbers(seeds), folds, model, deduplicate, near, _settings(setting or [])
    )
    made = training.train(data.read(dataset), options, output, lambda cells: tracked(cells, "training"))
    told = {"dataset": str(dataset), "sha256": data.hash_of(dataset), "options": training.describe(options)}
    write_files(output, outputs.predictions(made.records, told | {"notes": made.notes}))
    _say(made.notes)
    terminal.say(f"{output}/predictions.csv and .parquet ({len(made.records)} predictions)")


def aggregate(
    trained: Annotated[list[Path], typer.Argument(help="Folders that lmx perfpred train wrote.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for tables and plots.")] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.99, help="Level of the intervals for a task's score.")] = 0.9,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No PNG and SVG, which need matplotlib.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge predictions against the mean: one table, and which predictors do not beat it."""
    from lmx_analysis.figures import require_matplotlib
    from lmx_analysis.performance_prediction import aggregate as aggregating
    from lmx_analysis.performance_prediction import conformal
    from lmx_analysis.performance_prediction.shown import output as outputs
    from lmx_analysis.performance_prediction.shown import section as sections
    from lmx_analysis.tables import console, json_text, write_files

    if output is not None:
        check_folder(output)
        if not no_plots:
            require_matplotlib()
    conformal.require_crepes()
    results = aggregating.aggregate(aggregating.read(trained), level=level)
    if output is not None:
        made = outputs.files(results, not no_plots, level, aggregating.files_of(trained))
        write_files(output, made)
        sections.section(results, level, made).write(output)
    if as_json:
        terminal.say_json(json_text({"level": level, "results": outputs.rows(results)}))
        return
    for printed in outputs.result_tables(results):
        console().print(printed)
    for sentence in outputs.sentences(results):
        terminal.say(sentence)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UserError(f"--seeds {text!r}: whole numbers with commas are needed, e.g. 42,43") from None


def _settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return settings by predictor; values are read as YAML, so that numbers are numbers."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        predictor, dot, key = name.partition(".")
        if not (equals and dot and predictor and key):
            raise UserError(f"--setting {text!r}: give PREDICTOR.NAME=VALUE, e.g. encoder.epochs=5")
        try:
            found.setdefault(predictor, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            found.setdefault(predictor, {})[key] = value
    return found


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        terminal.say(f"note: {note}", error=True)
