"""Pairs of counting prompts that differ in one word, for studies of what a model does with the count.

A pair is a logged prompt and the same prompt with one word of its list replaced: a word of the category by another
word, or the other way round, so that the right count moves by one. Controls replace a word by one of its own kind. Both
prompts have the same number of tokens, and their tokens differ only where the word stands.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.templates import DEFAULT_FORMAT, FORMATS, render, template_id
from lmx_tasks.category_counting.words import DEFAULT_LISTS, LISTS, Category, by_name, category, load_categories

KINDS = ("add", "remove", "target", "distractor")
"""``add``: a word outside the category becomes one of it, count + 1; ``remove``: count - 1. Controls: a word of the
category becomes another one (``target``), a word outside it another one outside it (``distractor``)."""
SHIPPED = " or ".join(LISTS)
TRIES = 40
"""Replacements that are tried for one that has as many tokens."""
Tokens = Callable[[str], Sequence[int]]
Span = tuple[int, int]


@dataclass(frozen=True)
class Listed:
    """One logged question whose list has been found in its prompt.

    Attributes:
        prompt: what the model read, chat template and examples included. spans: characters of each word in it.
        lists: the word lists that its category is of.
    """

    doc_id: int
    prompt: str
    category: str
    words: tuple[str, ...]
    spans: tuple[Span, ...]
    count: int
    lists: str = DEFAULT_LISTS

    def asked(self) -> Category:
        """Return the category that is asked for, with its words."""
        return by_name(self.lists)[self.category]

    def members(self) -> tuple[bool, ...]:
        """Return of each word whether it is of the category."""
        asked = set(self.asked().words)
        return tuple(word in asked for word in self.words)

    def others(self) -> list[Category]:
        """Return the other categories of the same lists."""
        return [each for each in load_categories(self.lists) if each.name != self.category]


@dataclass(frozen=True)
class Pair:
    """A prompt `base` and the same prompt with the word at `index` replaced, `source`.

    `answer` and `other` are the right counts; for controls, which do not move the count, `other` is a neighbour.
    """

    number: int
    kind: str
    base: Listed
    source: Listed
    index: int
    answer: int
    other: int


def passed_over(doc: dict[str, Any]) -> str | None:
    """Return why a counting question has no pairs, None where it may have some: then see `listed`."""
    if doc.get("position") == "after":
        return "asks after the list"
    if doc.get("lists") is not None and doc["lists"] not in LISTS:
        return "of words that are of no shipped lists"
    return None


def listed(doc_id: int, doc: dict[str, Any], prompt: str, where: str) -> Listed:
    """Find the list of a logged question in its prompt.

    Raises:
        UserError: the document is no counting question that asks before the list, or its prompt is not the one that
            its template makes.
    """
    text = doc.get("prompt")
    if not (isinstance(text, str) and isinstance(doc.get("category"), str) and isinstance(doc.get("count"), int)):
        raise UserError(
            f"{where}: not a counting question (prompt, category, count). Name a run of a category_counting task"
        )
    if doc.get("position", "before") != "before":
        raise UserError(
            f"{where}: the category is asked for after the list, so nothing can be counted while it is read. Name a "
            "run of a task that asks before it"
        )
    lists = DEFAULT_LISTS if doc.get("lists") is None else str(doc["lists"])
    asked = category(doc["category"], lists, where)
    words = tuple(doc["words"]) if isinstance(doc.get("words"), list) else _words_of(text, where)
    _check_template(doc, asked, words, where)
    at = prompt.rfind(text.rstrip())  # many chat templates trim what they are given
    if at < 0:
        raise UserError(
            f"{where}: the prompt that the model read does not hold the question as it is in the document, so it is "
            "not this template's"
        )
    spans = _spans(text, words, where)
    if doc["count"] != sum(word in asked.words for word in words):
        raise UserError(f"{where}: its count is {doc['count']}, but the word lists say otherwise: other word lists?")
    return Listed(
        doc_id, prompt, asked.name, words, tuple((at + begin, at + end) for begin, end in spans), doc["count"], lists
    )


def with_words(question: Listed, words: Sequence[str]) -> Listed:
    """Return the question with other words, as many as it has."""
    parts, spans, at, length = [], [], 0, 0
    for word, (begin, end) in zip(words, question.spans, strict=True):
        parts += [question.prompt[at:begin], word]
        length += begin - at
        spans.append((length, length + len(word)))
        length += len(word)
        at = end
    members = set(question.asked().words)
    return replace(
        question, prompt="".join(parts) + question.prompt[at:], words=tuple(words), spans=tuple(spans),
        count=sum(word in members for word in words),
    )  # fmt: skip


def make_pairs(
    questions: Iterable[Listed], tokens: Tokens, seed: int, controls: float = 0.25, most: int | None = None
) -> tuple[list[Pair], Counter[str]]:
    """Return a pair a question and how many were left out, by reason.

    Args:
        tokens: token ids of a prompt, as the model reads it.
        controls: share of pairs, beside the others, whose replacement leaves the count.
        most: stop at this many pairs that move the count.

    The word that is replaced is never the last one of a list, so that there are later items that may carry the count.
    """
    rng = random.Random(seed)
    found: list[Pair] = []
    left: Counter[str] = Counter()
    moving = 0
    for question in questions:
        if most is not None and moving >= most:
            break
        if len(question.words) < 2:
            left["list of one word"] += 1
            continue
        index = rng.randrange(len(question.words) - 1)
        member = question.words[index] in question.asked().words
        kinds = ["remove" if member else "add"]
        if rng.random() < controls:
            kinds.append("target" if member else "distractor")
        for kind in kinds:
            source = _replaced(question, index, kind, tokens, rng)
            if source is None:
                left["no replacement with as many tokens"] += 1
                continue
            moved = source.count if source.count != question.count else question.count + rng.choice((-1, 1))
            other = moved if moved >= 0 else question.count + 1
            found.append(Pair(len(found), kind, question, source, index, question.count, other))
            moving += kind in KINDS[:2]
    return found, left


def _replaced(question: Listed, index: int, kind: str, tokens: Tokens, rng: random.Random) -> Listed | None:
    inside = kind in ("add", "target")
    asked, others = question.asked(), question.others()
    before = list(tokens(question.prompt))
    for _ in range(TRIES):
        word = rng.choice(asked.words if inside else rng.choice(others).words)
        if word in question.words:
            continue
        words = [*question.words[:index], word, *question.words[index + 1 :]]
        source = with_words(question, words)
        if len(tokens(source.prompt)) == len(before):
            return source
    return None


def _check_template(doc: dict[str, Any], asked: Category, words: Sequence[str], where: str) -> None:
    """Raise a `UserError` unless the question is what its template, as it stands today, makes of its words."""
    form = doc.get("format", DEFAULT_FORMAT)
    if form not in FORMATS:
        raise UserError(f"{where}: its list format {form!r} has no pairs. Those that have: {', '.join(FORMATS)}")
    today = template_id("before", form)
    if doc.get("template") and doc["template"] != today:
        raise UserError(
            f"{where}: made with the template {doc['template']!r}, but today's is {today!r}. Make the task's data again"
        )
    if doc["prompt"] != render(asked.plural, words, "before", form):
        raise UserError(
            f"{where}: its prompt is not what this task's template makes of its words: {doc['prompt'][:80]!r}"
        )


def _words_of(text: str, where: str) -> tuple[str, ...]:
    match = re.search(r"^Words: (.+)$", text, re.MULTILINE)
    if match is None:
        raise UserError(
            f"{where}: no list of words in its prompt: {text[:80]!r}. Name a run of a category_counting task"
        )
    return tuple(match.group(1).split(", "))


def _spans(text: str, words: Sequence[str], where: str) -> list[Span]:
    """Find the words from the end backwards, for the question stands before the list."""
    spans: list[Span] = []
    end = len(text)
    for word in reversed(words):
        matches = list(re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text[:end]))
        if not matches:
            raise UserError(f"{where}: its word {word!r} is not in its prompt, so it is not this template's")
        spans.append(matches[-1].span())
        end = spans[-1][0]
    return spans[::-1]
