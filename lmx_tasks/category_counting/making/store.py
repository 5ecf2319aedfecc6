"""Sets of counting items as files: a folder with ``examples.json`` and its like, or one file of JSON or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files import atomic, jsonl, manifest
from lmx_files.errors import UserError
from lmx_files.reading import open_following_links, reason
from lmx_tasks.category_counting.making.systematic import Doc

EXAMPLES, LINES, PROPOSALS = "examples.json", "examples.jsonl", "proposals.jsonl"
GENERATE, PRUNE = "lmx counting generate", "lmx counting prune"
"""The commands that write sets; a set's manifest names one."""
REQUIRED: dict[str, type] = {"prompt": str, "category": str, "words": list, "count": int}
LARGEST = 1 << 30  # bytes


def is_file(output: Path) -> bool:
    """Return whether a place for a set names a file, rather than a folder."""
    return output.suffix in (".json", ".jsonl")


def folder_of(place: Path) -> Path:
    """Return the folder of a set's files."""
    return place.parent if is_file(place) else place


def write(
    output: Path, docs: Sequence[Doc], about: Mapping[str, Any] | None = None, proposals: Sequence[Any] = ()
) -> None:
    """Write a set: whole files or none.

    Into a folder go ``examples.json`` (a list), ``examples.jsonl`` (for the tasks' ``data_file``), ``manifest.json``
    and, if a model proposed something, ``proposals.jsonl``; as a file ``NAME.json`` or ``NAME.jsonl``, with
    ``NAME.proposals.jsonl`` beside it.

    Raises:
        UserError: the files cannot be written, or the folder is another command's.
    """
    check_place(output)
    lines = "".join(jsonl.line(doc) for doc in docs)
    listed = "[\n" + ",\n".join(json.dumps(doc, ensure_ascii=False) for doc in docs) + "\n]\n"
    said = "".join(jsonl.line(row) for row in proposals)
    if is_file(output):
        files = {f"{output.stem}.{PROPOSALS}": said} if proposals else {}
        files[output.name] = lines if output.suffix == ".jsonl" else listed
    else:
        files = {PROPOSALS: said} if proposals else {}
        if about is not None:
            files[manifest.NAME] = jsonl.strict(dict(about), indent=2) + "\n"
        files |= {LINES: lines, EXAMPLES: listed}
    atomic.write_files(folder_of(output), files)


def check_place(output: Path) -> None:
    """Refuse a folder in which another command's files would be replaced, as a report's `examples.json`.

    Raises:
        UserError: it is one.
    """
    if is_file(output):
        return
    other = manifest.command_of(output)
    if not other and (output / "counting.json").exists():
        other = "lmx counting report"
    if other and other not in (GENERATE, PRUNE):
        raise UserError(f"{output} holds what {other!r} wrote, and a set would replace it. Give -o another folder")


def proposals_file(place: Path) -> Path:
    """Return where the proposals of a set lie."""
    return place.with_name(f"{place.stem}.{PROPOSALS}") if is_file(place) else place / PROPOSALS


def examples_file(place: Path) -> Path:
    """Return the file that holds a set's items.

    Raises:
        UserError: there is none.
    """
    file = place / EXAMPLES if place.is_dir() else place
    if not file.is_file():
        raise UserError(f"there is no set of counting items at {place}: name a folder with {EXAMPLES}, or a file")
    return file


def read(place: Path) -> list[Doc]:
    """Return the items of a set, each with the fields `REQUIRED`; others are kept as they are.

    Raises:
        UserError: it names the file, the item and the field.
    """
    file = examples_file(place)
    docs = list(_rows(file))
    if not docs:
        raise UserError(f"{file} is empty. It should hold items with {', '.join(REQUIRED)}")
    for number, doc in enumerate(docs, 1):
        where = f"{file}, item {number}"
        for field, kind in REQUIRED.items():
            value = doc.get(field)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise UserError(f"{where}: field {field!r} must be {_want(kind)}, not {str(value)[:60]!r}")
        if not all(isinstance(word, str) for word in doc["words"]):
            raise UserError(f"{where}: field 'words' must be a list of words")
    return docs


def _rows(file: Path) -> Iterable[Doc]:
    if file.suffix == ".jsonl":
        return jsonl.read(file, "a set of counting items", last="take")
    with open_following_links(file) as handle:
        try:
            raw = handle.read(LARGEST)
        except OSError as error:
            raise UserError(f"cannot read {file}: {reason(error)}") from error
    value = jsonl.parse(raw, f"cannot read {file}: not JSON")
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise UserError(f"{file}: not a list of items")
    return value


def _want(kind: type) -> str:
    return {str: "text", int: "a whole number", list: "a list of words"}[kind]
