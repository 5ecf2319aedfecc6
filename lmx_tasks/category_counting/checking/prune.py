"""The items of a set that stood its validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmx_files.errors import UserError
from lmx_tasks.category_counting.checking.validate import RIGHT, UNDECIDED
from lmx_tasks.category_counting.making.systematic import Doc


def kept(docs: Sequence[Doc], results: Mapping[str, Any], undecided: bool = False) -> list[Doc]:
    """Return the items whose count was found right, and with `undecided` those of which nothing could be said.

    Raises:
        UserError: the results are of another set.
    """
    verdicts = results.get("per_item")
    if (
        not isinstance(verdicts, list)
        or len(verdicts) != len(docs)
        or not all(isinstance(each, dict) for each in verdicts)
    ):
        raise UserError("the validation results are of another set. Validate this one: lmx counting validate")
    good = {RIGHT, UNDECIDED} if undecided else {RIGHT}
    return [doc for doc, verdict in zip(docs, verdicts, strict=True) if verdict.get("verdict") in good]


def judged(results: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    """Return what a validation found of the words of a model's categories, for the next set to heed.

    Raises:
        UserError: these are no results of a validation.
    """
    words = results.get("words")
    if not isinstance(words, list):
        raise UserError("it holds no results of lmx counting validate (words): give its validation_results.json")
    rows = [row for row in words if isinstance(row, dict)]
    return {
        (str(row["category"]), str(row["word"])): row["member"]
        for row in rows
        if {"category", "word"} <= set(row) and isinstance(row.get("member"), bool)
    }
