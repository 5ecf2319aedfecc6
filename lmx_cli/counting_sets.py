"""`lmx counting generate`, `validate` and `prune`: a set of counting questions is made, checked and cleaned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lmx_cli.output import tracked
from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal
from lmx_files.values import whole_numbers


# long: a parameter an option
def generate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder (examples.json and its like), or a .json or .jsonl file.")
    ],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Items.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same set.")] = 1234,
    lengths: Annotated[str, typer.Option(help="Words of a list: a range or numbers with commas, 1 to 100.")] = "5-15",
    counts: Annotated[str, typer.Option(help="Right answers, where they are not above the length.")] = "0-8",
    format: Annotated[str, typer.Option(help="How lists are set, with commas, or all.")] = "comma",
    position: Annotated[str, typer.Option(help="Where the question stands: before, after or both.")] = "before",
    lists: Annotated[str, typer.Option(help="Word lists: full or tiny.")] = "full",
    model: Annotated[
        str | None, typer.Option(help="A model of lm_eval that proposes categories and words, e.g. hf, ar.")
    ] = None,
    model_args: Annotated[str, typer.Option("--model_args", help="Its arguments, as in lm_eval.")] = "",
    model_share: Annotated[
        float | None,
        typer.Option("--model_share", min=0, max=1, help="Share of items from what the model proposed; else all."),
    ] = None,
    categories: Annotated[int, typer.Option(min=2, help="Categories that the model is asked for.")] = 20,
    words: Annotated[int, typer.Option(min=2, help="Words of each that it is asked for.")] = 40,
    proposals: Annotated[
        Path | None, typer.Option(help="Proposals of an earlier set (proposals.jsonl), instead of asking a model.")
    ] = None,
    avoid: Annotated[
        Path | None, typer.Option(help="validation_results.json of an earlier set: what was wrong is left out.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Of the model: cuda, cpu; else its own choice.")] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", min=1, help="Of the model.")] = 8,
    max_tokens: Annotated[int, typer.Option("--max_tokens", min=1, help="Most tokens of a proposal.")] = 512,
) -> None:
    """Make a set of counting items: from word lists, from what a language model proposes, or from both.

    Any two cells of length and count differ by at most one item. See docs/tasks/counting_sets.md.
    """
    from lmx_plugins.guards import check_output_path
    from lmx_tasks.category_counting import sets
    from lmx_tasks.category_counting.making import store
    from lmx_tasks.category_counting.making.design import Design
    from lmx_tasks.category_counting.words import load_categories

    check_output_path(output, "-o")
    store.check_place(output)
    design = Design(
        whole_numbers(lengths, "--lengths"), whole_numbers(counts, "--counts"), _positions(position), _formats(format)
    )
    design.cells()
    load_categories(lists)
    _check_model_options(model, model_args, proposals, model_share, avoid)
    share = 1.0 if model_share is None else model_share
    avoided = sets.heeded(avoid) if avoid is not None else {}
    proposed: Any = None
    if proposals is not None and share > 0:
        proposed = sets.proposed_before(proposals)
    elif model is not None and share > 0:
        ask, name = _model(model, model_args, max_tokens, device, batch_size)
        proposed = sets.propose(output, ask, name, categories, words, batch_size, _track, _warn)
    options = {"n": n, "seed": seed, "lengths": lengths, "counts": counts, "format": format, "position": position,
               "lists": lists, "model_share": share}  # fmt: skip
    try:
        made, used = sets.generate(output, design, n, seed, lists, proposed, share, avoided, options, _dealt)
    except UserError as error:
        if proposals is None and proposed is not None:
            sets.keep(output, getattr(error, "log", proposed.rows), _warn)
        raise
    if used is not None:
        where = store.proposals_file(output)
        terminal.say(f"{used} categories of {proposed.model} are used; what was refused: {where}")
    terminal.say(f"{made} items: {output}")


def validate(
    examples: Annotated[Path, typer.Argument(help="A set: its folder, or a .json or .jsonl file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for results and plots; else that of the set.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model that is asked where the lists cannot decide; not the set's own.")
    ] = None,
    model_args: Annotated[str, typer.Option("--model_args", help="Its arguments, as in lm_eval.")] = "",
    prune: Annotated[Path | None, typer.Option(help="Also write the cleaned set here.")] = None,
    device: Annotated[str | None, typer.Option(help="Of the model: cuda, cpu; else its own choice.")] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", min=1, help="Of the model.")] = 8,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No PNG and SVG, which need matplotlib.")] = False,
) -> None:
    """Check each item of a set, by the lists first and by another model where they cannot say, and the set's design."""
    from lmx_analysis import counting_sets as pictures
    from lmx_analysis.figures import require_matplotlib
    from lmx_analysis.tables import console, json_text, write_files
    from lmx_plugins.guards import check_output_path
    from lmx_tasks.category_counting import sets
    from lmx_tasks.category_counting.making import store

    if not no_plots:
        require_matplotlib()
    folder = output or store.folder_of(examples)
    check_output_path(folder, "-o")
    _check_has_model(model, model_args)
    docs = store.read(examples)
    ask, name = None, ""
    if model:
        ask, name = _model(model, model_args, 16, device, batch_size, partial(sets.check_judge, docs))
    results = sets.validate(examples, docs, folder, ask, name, _track)
    made = pictures.files(results, not no_plots)
    write_files(folder, {sets.RESULTS: json_text(results), **made})
    pictures.section(results, made).write(folder)
    (folder / sets.JUDGED).unlink(missing_ok=True)  # all of it is in the results
    screen = console()
    for table in pictures.screen_tables(results):
        screen.print(table)
    for line in pictures.conclusions(results):
        screen.print(f"- {line}", markup=False, highlight=False)
    terminal.say(str(folder / sets.RESULTS))
    if prune is not None:
        _prune(examples, docs, results, prune, False)


def prune(
    examples: Annotated[Path, typer.Argument(help="A set that has been validated.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The cleaned set: a folder or a file.")],
    results: Annotated[Path | None, typer.Option(help="validation_results.json; else the one beside the set.")] = None,
    keep_undecided: Annotated[
        bool, typer.Option("--keep-undecided", help="Keep items of which nothing could be said.")
    ] = False,
) -> None:
    """Write the items that stood their validation; wrong, malformed, doubled and undecided ones are left out."""
    from lmx_tasks.category_counting import sets
    from lmx_tasks.category_counting.making import store

    found = sets.results_of(examples, results)
    _prune(examples, store.read(examples), found, output, keep_undecided)


def _prune(examples: Path, docs: Sequence[Any], results: Mapping[str, Any], output: Path, undecided: bool) -> None:
    from lmx_plugins.guards import check_output_path
    from lmx_tasks.category_counting import sets

    check_output_path(output, "-o")
    good = sets.prune(examples, docs, results, output, undecided)
    terminal.say(f"{len(good)} of {len(docs)} items kept: {output}")


def _model(
    model: str,
    model_args: str,
    max_tokens: int,
    device: str | None,
    batch_size: int,
    check: Callable[[str], None] = lambda _: None,
) -> tuple[Callable[[Sequence[str]], list[str]], str]:
    """Load a model as a function of prompts and return its name, after `check` has let it pass."""
    from lmx_models.harness.asking import arguments_of, load_ask, name_of

    arguments = arguments_of(model_args)
    name = name_of(model, arguments)
    check(name)
    return load_ask(model, arguments, max_tokens, device, batch_size), name


def _check_has_model(model: str | None, model_args: str) -> None:
    if model is None and model_args:
        raise UserError("--model_args are those of no model: give --model too")


def _check_model_options(
    model: str | None, model_args: str, proposals: Path | None, share: float | None, avoid: Path | None
) -> None:
    _check_has_model(model, model_args)
    if model is not None and proposals is not None:
        raise UserError(f"--model asks a model, --proposals {proposals} takes what one said before: give one of them")
    if model is None and proposals is None:
        for option, value in (("--model_share", share), ("--avoid", avoid)):
            if value:
                raise UserError(f"{option} {value} is of what a model proposes: give --model or --proposals too")


def _positions(text: str) -> tuple[str, ...]:
    from lmx_tasks.category_counting.making.templates import POSITIONS

    if text == "both":
        return POSITIONS
    if text not in POSITIONS:
        raise unknown("--position", text, (*POSITIONS, "both"))
    return (text,)


def _formats(text: str) -> tuple[str, ...]:
    from lmx_tasks.category_counting.making.templates import FORMATS

    if text == "all":
        return tuple(FORMATS)
    chosen = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in chosen or (text,):
        if name not in FORMATS:
            raise unknown("--format", name, (*FORMATS, "all"))
    return chosen


def _warn(text: str) -> None:
    terminal.say(text, error=True)


_track, _dealt = partial(tracked, what="asking"), partial(tracked, what="dealing words")
