"""Sets of counting questions from what is asked for to files: made, judged by a model that did not make them, cleaned.

Models are handed in as functions, so that this knows none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import jsonl, manifest
from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_files.reading import reason
from lmx_tasks.category_counting.checking import prune as cleaning
from lmx_tasks.category_counting.checking.membership import Ask, Pair
from lmx_tasks.category_counting.checking.validate import validate as check
from lmx_tasks.category_counting.making import mixed, store, systematic
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.matching import Progress
from lmx_tasks.category_counting.making.proposals import ask_for, usable
from lmx_tasks.category_counting.making.systematic import Doc

RESULTS, JUDGED = "validation_results.json", "judged.jsonl"
FEWEST_WORDS = 3
"""Of a model's category that is used, however small the counts are."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Proposed:
    """What a model proposed, as `proposals.ask_for` returns it, and the model's name."""

    rows: list[dict[str, Any]]
    model: str


def propose(
    output: Path, ask: Ask, model: str, categories: int, words: int, batch: int, progress: Progress, say: Say
) -> Proposed:
    """Ask a model for categories and words; if it fails on the way, keep what it has written.

    Args:
        output: the set that is made of it. batch: prompts that are put to the model at once. say: tells a person.
    """
    rows: list[dict[str, Any]] = []
    try:
        return Proposed(ask_for(ask, model, categories, words, batch, progress, rows), model)
    except (UserError, KeyboardInterrupt):
        keep(output, rows, say)
        raise


def proposed_before(file: Path) -> Proposed:
    """Return the proposals of an earlier set.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    rows = list(jsonl.read(file, "proposals", last="take"))
    if not any(row.get("asked") == "words" for row in rows):
        raise UserError(f"{file} holds no proposals: give a proposals.jsonl, which lies beside a set that a model made")
    return Proposed(rows, str(rows[0].get("model", "")))


def heeded(results: Path) -> dict[Pair, bool]:
    """Return what an earlier validation found of words.

    Raises:
        UserError: the file cannot be read, or holds no results of one.
    """
    try:
        return cleaning.judged(jsonl.read_object(results))
    except UserError as error:
        raise UserError(f"--avoid {results}: {error}") from error


def keep(output: Path, rows: Sequence[dict[str, Any]], say: Say) -> None:
    """Keep what a model wrote though no set came of it: it may have taken long, and shows why."""
    if rows:
        jsonl.write(store.proposals_file(output), rows)
        say(f"what the model wrote is kept: {store.proposals_file(output)}")


def generate(
    output: Path,
    design: Design,
    n: int,
    seed: int,
    lists: str,
    proposed: Proposed | None,
    share: float,
    avoided: Mapping[Pair, bool],
    options: Mapping[str, Any],
    progress: Progress,
) -> tuple[int, int | None]:
    """Write a set and return its number of items and how many of a model's categories are in it (None: no model).

    Args:
        share: of the items, 0 to 1, that are made from what was proposed. avoided: what an earlier validation found.
        options: for the manifest.

    Raises:
        UserError: the set cannot be made or written; nothing is written then.
    """
    if proposed is None:
        docs, log, used = systematic.make(n, seed, design, lists, progress), [], None
    else:
        found = usable(proposed.rows, max(FEWEST_WORDS, *(count for _, count in design.cells())), avoided)
        docs = mixed.make_mixed(n, seed, design, found.categories, proposed.model, share, lists, progress)
        log, used = found.log, len(found.categories)
    about = {**options, "model": proposed.model if proposed else None}
    store.write(output, docs, manifest.of_command(store.GENERATE, about), log)
    return len(docs), used


def check_judge(docs: Sequence[Doc], judge: str) -> None:
    """Refuse a judge that proposed the set's words itself, in whatever revision.

    Raises:
        UserError: it did.
    """
    made_from = [doc.get("provenance") for doc in docs]
    authors = {str(each.get("model") or "") for each in made_from if isinstance(each, dict)}
    if _names(judge) & {name for author in authors for name in _names(author)}:
        raise UserError(f"{judge} proposed this set's words, so it cannot judge them: name another model")


def _names(model: str) -> set[str]:
    """Return what a model's name stands for: itself without a revision, and a folder's place, however it is written."""
    name = model.split("@")[0]
    return {name.casefold(), str(Path(name).resolve())} if name else set()


def validate(place: Path, docs: Sequence[Doc], folder: Path, ask: Ask | None, judge: str, progress: Progress) -> Any:
    """Return the results of validating a set, signed with its hash.

    What a judge says is kept in the folder as it comes, so that a judge that fails is asked the rest only.

    Args:
        place, docs: the set. folder: where the results will lie. ask, judge: a model and its name.

    Raises:
        UserError: the judge fails.
    """
    journal = folder / JUDGED
    kept = _judged_before(journal, judge) if ask else {}

    def keeping(rows: Iterable[Mapping[str, Any]]) -> None:
        try:
            journal.parent.mkdir(parents=True, exist_ok=True)
            with jsonl.Appender(journal, '{"model": ', "judgements", '"word": ') as file:
                for row in rows:
                    file.add({"model": judge, **row}, sync=False)
        except OSError as error:
            raise UserError(f"cannot write {journal}: {reason(error)}. Choose another folder with -o") from error

    results = check(docs, ask, progress, kept, keeping)
    return results | {"examples": str(place), "sha256": sha256(store.examples_file(place)), "model": judge or None}


def _judged_before(journal: Path, judge: str) -> dict[Pair, dict[str, Any]]:
    if not journal.is_file():
        return {}
    rows = jsonl.read(journal, "judgements", last="skip")
    return {
        (str(row["category"]), str(row["word"])): {"member": row.get("member"), "raw": row.get("raw")}
        for row in rows
        if row.get("model") == judge and {"category", "word"} <= set(row)
    }


def results_of(place: Path, file: Path | None) -> dict[str, Any]:
    """Return the results of a set's validation; `file`: where they are, if not beside the set.

    Raises:
        UserError: there are none, or they are of another set, or the set has changed.
    """
    file = file or store.folder_of(place) / RESULTS
    if not file.is_file():
        raise UserError(f"there is no {file}. Validate the set first: lmx counting validate {place}")
    found = jsonl.read_object(file)
    if found.get("sha256") != sha256(store.examples_file(place)):
        raise UserError(f"{file} is of another set, or the set has changed. Validate it: lmx counting validate {place}")
    return found


def prune(
    place: Path, docs: Sequence[Doc], results: Mapping[str, Any], output: Path, undecided: bool = False
) -> list[Doc]:
    """Write the items that stood their validation, with the set's proposals, and return them.

    Args:
        undecided: keep items of which nothing could be said.

    Raises:
        UserError: there are none, or they cannot be written, or would replace the set itself.
    """
    if output.resolve() in (place.resolve(), store.examples_file(place).resolve()):
        raise UserError(f"the cleaned set would replace {place}: give another folder or file")
    good = cleaning.kept(docs, results, undecided)
    if not good:
        raise UserError(f"no item of {place} stood its validation, so nothing is written")
    source = store.proposals_file(place)
    log = list(jsonl.read(source, "proposals", last="take")) if source.is_file() else []
    about = {"of": str(place), "sha256": results["sha256"], "judge": results.get("model"), "undecided": undecided}
    store.write(output, good, manifest.of_command(store.PRUNE, about), log)
    return good
