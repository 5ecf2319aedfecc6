"""`lmx counting generate`, `validate` and `prune`: a set of counting questions is made, checked and cleaned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lmx_cli.output import tracked
from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal
from lmx_files.values import whole_numbers

RESULTS = "validation_results.json"


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
        float, typer.Option("--model_share", min=0, max=1, help="Share of items from what the model proposed.")
    ] = 1.0,
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
    from lmx_tasks.category_counting.making import mixed, store, systematic
    from lmx_tasks.category_counting.making import proposals as proposing
    from lmx_tasks.category_counting.making.design import Design

    check_output_path(output, "-o")
    design = Design(
        whole_numbers(lengths, "--lengths"), whole_numbers(counts, "--counts"), _positions(position), _formats(format)
    )
    design.cells()
    options = {"n": n, "seed": seed, "lengths": lengths, "counts": counts, "format": format, "position": position,
               "lists": lists, "model_share": model_share}  # fmt: skip
    if model is None and proposals is None:
        docs, log, name = systematic.make(n, seed, design, lists, _dealt), [], None
    else:
        rows, name = _proposed(model, model_args, proposals, categories, words, device, batch_size, max_tokens)
        fewest = max(3, *(count for _, count in design.cells()))
        try:
            found = proposing.usable(rows, fewest, _judged(avoid))
            docs = mixed.make_mixed(n, seed, design, found.categories, name, model_share, lists, _dealt)
        except UserError:
            if proposals is None:
                _keep(output, rows)
            raise
        log = found.log
        terminal.say(f"{len(found.categories)} categories of {name} are used; what was refused: proposals.jsonl")
    store.write(output, docs, _about("lmx counting generate", {**options, "model": name}), log)
    terminal.say(f"{len(docs)} items: {output}")


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
    from lmx_tasks.category_counting.checking.validate import validate as check
    from lmx_tasks.category_counting.making import store

    if not no_plots:
        require_matplotlib()
    folder = output or store.folder_of(examples)
    check_output_path(folder, "-o")
    docs = store.read(examples)
    ask, name = _judge(docs, model, model_args, device, batch_size) if model else (None, None)
    results = check(docs, ask, _track)
    results |= {"examples": str(examples), "sha256": _sha256(examples), "model": name}
    made = pictures.files(results, not no_plots)
    write_files(folder, {RESULTS: json_text(results), **made})
    pictures.section(results, made).write(folder)
    screen = console()
    for table in pictures.screen_tables(results):
        screen.print(table)
    for line in pictures.conclusions(results):
        screen.print(f"- {line}", markup=False, highlight=False)
    terminal.say(str(folder / RESULTS))
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
    from lmx_files import jsonl
    from lmx_tasks.category_counting.making import store

    file = results or store.folder_of(examples) / RESULTS
    if not file.is_file():
        raise UserError(f"there is no {file}. Validate the set first: lmx counting validate {examples}")
    found = jsonl.read_object(file)
    if found.get("sha256") != _sha256(examples):
        raise UserError(
            f"{file} is of another set, or the set has changed. Validate it: lmx counting validate {examples}"
        )
    _prune(examples, store.read(examples), found, output, keep_undecided)


def _prune(examples: Path, docs: Sequence[Any], results: Mapping[str, Any], output: Path, undecided: bool) -> None:
    from lmx_plugins.guards import check_output_path
    from lmx_tasks.category_counting.checking.prune import kept
    from lmx_tasks.category_counting.making import store

    check_output_path(output, "-o")
    good = kept(docs, results, undecided)
    if not good:
        raise UserError(f"no item of {examples} stood its validation, so nothing is written")
    source = store.proposals_file(examples)
    log = [] if not source.is_file() else list(_lines(source))
    about = {"of": str(examples), "sha256": results["sha256"], "judge": results.get("model"), "undecided": undecided}
    store.write(output, good, _about("lmx counting prune", about), log)
    terminal.say(f"{len(good)} of {len(docs)} items kept: {output}")


def _proposed(
    model: str | None,
    model_args: str,
    proposals: Path | None,
    categories: int,
    words: int,
    device: str | None,
    batch_size: int,
    max_tokens: int,
) -> tuple[list[Any], str]:
    """Return the rows of what a model proposed, now or before, and its name."""
    from lmx_models.harness.asking import arguments_of, load_ask, name_of
    from lmx_tasks.category_counting.making.proposals import ask_for

    if proposals is not None:
        rows = list(_lines(proposals))
        return rows, str(rows[0].get("model", "")) if rows else ""
    assert model is not None
    arguments = arguments_of(model_args)
    ask, name = load_ask(model, arguments, max_tokens, device, batch_size), name_of(model, arguments)

    def asked(prompts: Sequence[str]) -> list[str]:
        batches = [prompts[k : k + batch_size] for k in range(0, len(prompts), batch_size)]
        return [text for batch in _track(batches) for text in ask(batch)]

    return ask_for(asked, name, categories, words), name


def _judge(
    docs: Sequence[Mapping[str, Any]], model: str, model_args: str, device: str | None, batch_size: int
) -> tuple[Callable[[Sequence[str]], list[str]], str]:
    """Load the model that judges; a set's own model does not judge itself."""
    from lmx_models.harness.asking import arguments_of, load_ask, name_of

    arguments = arguments_of(model_args)
    name = name_of(model, arguments)
    authors = {str((doc.get("provenance") or {}).get("model") or "") for doc in docs}
    if name.split("@")[0] in {author.split("@")[0] for author in authors}:
        raise UserError(f"{name} proposed this set's words, so it cannot judge them: name another model")
    return load_ask(model, arguments, 16, device, batch_size), name


def _keep(output: Path, rows: Sequence[Any]) -> None:
    """Keep what a model wrote though no set came of it: it may have taken long, and shows why."""
    from lmx_files import jsonl
    from lmx_tasks.category_counting.making import store

    jsonl.write(store.proposals_file(output), rows)
    terminal.say(f"what the model wrote is kept: {store.proposals_file(output)}", error=True)


def _lines(path: Path) -> Iterable[Any]:
    from lmx_files import jsonl

    return jsonl.read(path, "proposals", last="take")


def _judged(avoid: Path | None) -> dict[tuple[str, str], bool]:
    from lmx_files import jsonl
    from lmx_tasks.category_counting.checking.prune import judged

    return judged(jsonl.read_object(avoid)) if avoid is not None else {}


def _sha256(examples: Path) -> str:
    from lmx_files.hashing import sha256
    from lmx_tasks.category_counting.making import store

    return sha256(store.examples_file(examples))


def _about(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    from lmx_files import manifest

    return {"manifest": 1, "command": command, "options": dict(options), "versions": manifest.versions()}


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


_track, _dealt = partial(tracked, what="asking"), partial(tracked, what="dealing words")
