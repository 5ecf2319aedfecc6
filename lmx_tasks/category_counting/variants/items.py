"""The counting items that all variants are made from: the task's own, or those of a file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.jsonl import rows
from lmx_tasks.category_counting.making.design import LONGEST, SHORTEST
from lmx_tasks.category_counting.making.systematic import lists_id, make, question_id
from lmx_tasks.category_counting.making.templates import DEFAULT_FORMAT, FORMATS, POSITIONS, template_id
from lmx_tasks.category_counting.variants.cache import cached
from lmx_tasks.category_counting.variants.settings import Settings
from lmx_tasks.category_counting.words import DEFAULT_LISTS, LISTS, by_name, load_categories, owners

Doc = dict[str, Any]
_log = logging.getLogger(__name__)
EXAMPLES = 64
"""Items of the few-shot split, none of which is asked about."""
REQUIRED: dict[str, type] = {"prompt": str, "category": str, "words": list, "count": int}
KEPT = (
    "id", "prompt", "category", "plural", "words", "count", "length", "position", "format", "template", "lists",
    "source",
)  # fmt: skip


def load(settings: Settings) -> tuple[list[Doc], list[Doc]]:
    """Return the items to ask about and those for examples; no question is in both.

    Raises:
        UserError: the items cannot be made, or their file cannot be read.
    """
    tested = from_file(Path(settings.data_file)) if settings.data_file else _made(settings)
    asked = {question_id(doc["category"], doc["words"]) for doc in tested}
    other = replace(_like(settings, tested), data_file=None, n=EXAMPLES + 16, seed=settings.seed + 1)
    examples = [doc for doc in _made(other) if question_id(doc["category"], doc["words"]) not in asked]
    return tested, examples[:EXAMPLES]


def _like(settings: Settings, docs: Sequence[Doc]) -> Settings:
    """Return settings of which items look like those of a file, as far as the generator can make such."""
    if not settings.data_file:
        return settings
    lists = str(docs[0]["lists"])
    lengths = {doc["length"] for doc in docs if SHORTEST <= doc["length"] <= LONGEST}
    counts = {doc["count"] for doc in docs if doc["count"] <= min(30, max(lengths, default=0))}
    design = replace(
        settings.design,
        lengths=tuple(sorted(lengths)) or settings.design.lengths,
        counts=tuple(sorted(counts)) or settings.design.counts,
        positions=tuple(sorted({doc["position"] for doc in docs} & {*POSITIONS})) or settings.design.positions,
        formats=tuple(sorted({doc["format"] for doc in docs} & {*FORMATS})) or settings.design.formats,
    )
    return replace(settings, design=design, lists=lists if lists in LISTS else settings.lists)


def _made(settings: Settings) -> list[Doc]:
    def made() -> list[Doc]:
        docs = make(settings.n, settings.seed, settings.design, settings.lists)
        return [{name: doc[name] for name in KEPT} for doc in docs]

    words = lists_id(load_categories(settings.lists))
    templates = [template_id(p, f) for p in settings.design.positions for f in settings.design.formats]
    return cached("items", settings.as_key() | {"words": words, "templates": templates}, made)


def from_file(path: Path) -> list[Doc]:
    """Read items, one JSON object a line, as `lmx counting generate` writes them.

    Raises:
        UserError: it names the file, the line and the field.
    """
    return [_checked(row, where) for where, row in rows(path.expanduser(), (*REQUIRED,))]


def _checked(row: Doc, where: str) -> Doc:
    for field, kind in REQUIRED.items():
        if field not in row:
            raise UserError(f"{where}: field {field!r} is missing. Found: {', '.join(row) or 'nothing'}")
        value = row[field]
        if not isinstance(value, kind) or isinstance(value, bool) or value in ("", []):
            want = {str: "text that is not empty", int: "a whole number", list: "a list of words"}[kind]
            raise UserError(f"{where}: field {field!r} must be {want}, not {value!r}")
    words = row["words"]
    if not all(isinstance(word, str) and word for word in words):
        raise UserError(f"{where}: field 'words' must be a list of words, not {words!r}")
    if not 0 <= row["count"] <= len(words):
        raise UserError(f"{where}: field 'count' must be 0 to {len(words)} (words), not {row['count']}")
    if row.get("length", len(words)) != len(words):
        raise UserError(f"{where}: field 'length' is {row['length']!r}, but there are {len(words)} words")
    position, style = str(row.get("position") or "before"), str(row.get("format") or DEFAULT_FORMAT)
    if position not in POSITIONS:
        raise UserError(f"{where}: field 'position' must be {' or '.join(POSITIONS)}, not {position!r}")
    lists = str(row.get("lists", DEFAULT_LISTS) or "")
    return {
        "id": str(row.get("id") or question_id(row["category"], words)),
        "prompt": row["prompt"],
        "category": row["category"],
        "plural": str(row.get("plural") or _plural(row["category"], lists)),
        "words": words,
        "count": row["count"],
        "length": len(words),
        "position": position,
        "format": style,
        "template": str(row.get("template") or ""),
        "lists": lists,
        "source": str(row.get("source") or "systematic"),
    }


def _plural(category: str, lists: str) -> str:
    if lists in LISTS and category in by_name(lists):
        return by_name(lists)[category].plural
    return f"{category}s"


def with_owners(docs: Sequence[Doc]) -> list[tuple[Doc, list[str]]]:
    """Return the items of whose words the categories are known, and these.

    The others, as those of a model's categories in a mixed set, are left out, and a warning says how many.

    Raises:
        UserError: none is left, or the word lists say another count than an item.
    """
    found: list[tuple[Doc, list[str]]] = []
    unknown: list[str] = []
    for number, doc in enumerate(docs, start=1):
        where, known = f"item {number} ({doc['id']})", owners(doc["lists"]) if doc["lists"] in LISTS else {}
        names = [known.get(word, "") for word in doc["words"]]
        if "" in names:
            unknown.append(
                f"{where}: nothing says which of its words are {doc['plural']}: its word lists "
                f"({doc['lists'] or 'none that is shipped'}) lack {doc['words'][names.index('')]!r}"
            )
            continue
        if sum(name == doc["category"] for name in names) != doc["count"]:
            raise UserError(f"{where}: its count is {doc['count']}, but the word lists {doc['lists']!r} say otherwise")
        found.append((doc, names))
    if unknown and not found:
        raise UserError(f"{unknown[0]}. Ask about items of the lists {' or '.join(LISTS)} with this task")
    if unknown:
        _log.warning("%d of %d items are left out. %s", len(unknown), len(docs), unknown[0])
    return found
