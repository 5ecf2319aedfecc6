"""Which documents of a task are asked for: `--limit` and `--samples`, checked, since lm_eval takes nearly anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown

_FORM = """--samples wants numbers of documents by task, counted from 0: '{"TASK": [0, 4, 7]}'"""


def check_limit(limit: Any) -> None:
    """Raise a `UserError` unless `limit` is None, a whole number of at least 1, or a share between 0 and 1.

    lm_eval takes 0 for all documents, and rounds 2.5 down.
    """
    number = limit
    if isinstance(limit, str):
        try:
            number = float(limit)
        except ValueError:
            number = None
    if limit is None or (
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and (0 < number < 1 or (number >= 1 and number == number // 1))
    ):
        return
    raise UserError(
        f"--limit {limit}: give a whole number of documents (at least 1) or a share of them between 0 and 1; without "
        "--limit all are evaluated"
    )


def read_samples(samples: Any) -> dict[str, list[int]] | None:
    """Return `--samples` as lm_eval would read them (JSON, a file of JSON, or data), checked and in order.

    Raises:
        UserError: they cannot be read or are not numbers of documents by task.
    """
    if samples is None:
        return None
    if isinstance(samples, str):
        samples = _parsed(samples)
    check_samples(samples)
    return {str(task): in_order(numbers) for task, numbers in samples.items()}


def check_samples(samples: Any, tasks: Iterable[str] | None = None) -> None:
    """Raise a `UserError` unless `samples` are numbers of documents by task.

    Args:
        tasks: the names of the tasks that are evaluated; None: not known yet.
    """
    if samples is None:
        return
    if not isinstance(samples, Mapping) or not samples:
        raise UserError(f"{_FORM}, and not {_short(samples)}")
    for task, numbers in samples.items():
        if tasks is not None and task not in (names := list(tasks)):
            raise unknown("task in --samples", str(task), names)
        wrong = not isinstance(numbers, list | tuple) or not numbers or [n for n in numbers if not _is_number(n)]
        if wrong:
            shown = numbers if wrong is True else wrong[0]
            raise UserError(f"{_FORM}; {task} has {_short(shown)}")
        if len(set(numbers)) < len(numbers):
            twice = next(n for i, n in enumerate(numbers) if n in numbers[:i])
            raise UserError(f"--samples: {task} names document {twice} twice, but each is evaluated once: keep one")


def in_order(numbers: Any) -> Any:
    """Return numbers of documents in the order of the documents, the only one that lm_eval logs correctly.

    Anything else is returned as it is: it is not for us to say what lm_eval takes.
    """
    if isinstance(numbers, list | tuple) and all(_is_number(number) for number in numbers):
        return sorted(set(numbers))
    return numbers


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parsed(text: str) -> Any:
    where = "--samples"
    if not text.lstrip().startswith(("{", "[")):
        path, where = Path(text), f"--samples {text}"
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{where} is neither JSON nor a file that can be read ({error}). {_FORM}") from error
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except ValueError as error:
        raise UserError(f"{where} is not valid JSON ({error}). {_FORM}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--samples: task {name!r} stands there twice: keep one")
    return dict(pairs)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
