"""A task's own answers as texts, from what lm_eval logs of a sample: its requests and its target.

lm_eval logs ``str(target)``, whatever the target was: the number of a choice, a list of answers, None. The requests
say how it is to be read: a task of likelihoods has the very text that was scored in them.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError

Call = Sequence[Any]
"""The arguments of one request: context and settings or continuation; of whole pages only the page."""


def calls_of(sample: Mapping[str, Any], path: Path) -> list[Call]:
    """Return the arguments of a sample's requests, in order.

    Raises:
        UserError: it has none, or the first is no text.
    """
    logged = sample.get("arguments")
    calls: list[Call] = []
    if isinstance(logged, dict):
        found = [logged[name] for i in range(len(logged)) if isinstance(logged.get(name := f"gen_args_{i}"), dict)]
        calls = [[call[name] for j in range(len(call)) if (name := f"arg_{j}") in call] for call in found]
    elif isinstance(logged, list):
        calls = [call for call in logged if isinstance(call, list)]
    if not calls or not all(call and isinstance(call[0], str) for call in calls):
        raise UserError(f"{path}, document {sample.get('doc_id')!r}: not a sample as lm_eval logs it (no prompt)")
    return calls


def is_page(calls: Sequence[Call]) -> bool:
    """Whether a sample is of ``loglikelihood_rolling``: its one argument is the page, and there is no prompt."""
    return len(calls) == 1 and len(calls[0]) == 1


def prompt_of(calls: Sequence[Call]) -> str | None:
    """Return the prompt; None where there is none, or one for each choice.

    Requests without a context, which mutual information needs, are passed over.
    """
    if is_page(calls):
        return None
    prompts = {call[0] for call in calls if call[0]} or {""}
    return str(prompts.pop()) if len(prompts) == 1 else None


def gold_of(
    sample: Mapping[str, Any], calls: Sequence[Call], config: Mapping[str, Any], templated: bool
) -> tuple[str, str] | None:
    """Return the prompt and the task's answer behind it; None where the sample names none.

    Args:
        config: of the task, as results files have it. templated: prompts are those of a chat template.
    """
    if is_page(calls):
        return ("", str(calls[0][0])) if str(calls[0][0]).strip() else None
    if all(len(call) > 1 and isinstance(call[1], str) for call in calls):
        chosen = calls[0] if len(calls) == 1 else _choice(sample, calls, config)
        return (str(chosen[0]), str(chosen[1])) if chosen is not None and str(chosen[1]) else None
    answers = _answers(sample, config)
    answer = str(answers[0]) if answers else ""
    prompt = prompt_of(calls)
    if prompt is None or not answer.strip():
        return None
    return prompt, _delimiter(prompt, answer, config, templated) + answer


def _choice(sample: Mapping[str, Any], calls: Sequence[Call], config: Mapping[str, Any]) -> Call | None:
    """Return the request of the right choice; None where it is not known, as with a context for each choice."""
    if prompt_of(calls) is None:
        return None
    choices = [call for call in calls if call[0]] or list(calls)  # those without a context stand behind the others
    delimiter = str(config.get("target_delimiter", " "))
    texts = [str(call[1]) for call in choices]
    for answer in _answers(sample, config):
        named = [i for i, text in enumerate(texts) if str(answer) in (text, text.removeprefix(delimiter), text.strip())]
        word = {"True": "1", "False": "0"}.get(str(answer), str(answer))
        number = [int(word)] if word.isdecimal() and int(word) < len(choices) else []
        found = sorted({*named[:1], *number})
        if len(found) > 1:  # a choice that is a digit: what the run made of it tells which was meant
            found = [i for i in found if _agrees(sample, i, len(choices))]
        if len(found) == 1:
            return choices[found[0]]
    return None


def _agrees(sample: Mapping[str, Any], choice: int, count: int) -> bool:
    """Whether the logged accuracy is that of this choice being right."""
    try:
        logged = list(sample["filtered_resps"])[:count]
        values = [float(each[0][0] if isinstance(each[0], list) else each[0]) for each in logged]  # a list more: 0.5
        right = bool(float(sample["acc"]))
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    return (max(range(len(values)), key=values.__getitem__) == choice) == right


def _answers(sample: Mapping[str, Any], config: Mapping[str, Any]) -> list[Any]:
    """Return the targets of a sample, read back from the text that lm_eval made of them."""
    target, doc, column = sample.get("target"), sample.get("doc"), config.get("doc_to_target")
    if isinstance(target, str) and not _is_text(doc, column):
        if target.strip() in ("", "None"):
            return []
        if target.strip()[:1] in "[(":
            with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                target = ast.literal_eval(target.strip())
    if isinstance(target, (list, tuple)):
        return [each for each in target if isinstance(each, (str, int, float))]
    return [target] if isinstance(target, (str, int, float)) else []


def _is_text(doc: Any, column: Any) -> bool:
    """Whether the target is a column of the document that holds a text, which lm_eval takes as it is."""
    return isinstance(doc, dict) and isinstance(column, str) and isinstance(doc.get(column), str)


def _delimiter(prompt: str, answer: str, config: Mapping[str, Any], templated: bool) -> str:
    """Return what lm_eval puts between a prompt and its answer; nothing where one of them has a blank there."""
    if answer[:1].isspace() or prompt[-1:].isspace():
        return ""
    begun = config.get("gen_prefix")
    if templated and not begun:
        return ""
    given = config.get("target_delimiter")
    return " " if begun or not isinstance(given, str) else given
