"""Categories and words that a language model proposes, with what it was asked and what it wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.matching import Progress
from lmx_tasks.category_counting.making.reading import entries, names
from lmx_tasks.category_counting.words import WORD, Category

Ask = Callable[[Sequence[str]], list[str]]
"""The model: a text for each prompt, in the same order."""
Judged = Mapping[tuple[str, str], bool]
"""Whether a word belongs, by a category's plural and the word."""
CATEGORIES_PROMPT = (
    "Name {n} categories of things for which everybody knows many examples, such as fruits or tools. The categories "
    "must not overlap. Write one category a line, as a plural noun in lower case, and nothing else."
)
WORDS_PROMPT = "List {n} different {plural}, one on each line, each a single common word. Do not repeat any."
FEWEST_CATEGORIES = 2


class TooFewError(UserError):
    """Nothing can be made of what a model proposed; `log` says of each word why it was left out."""

    def __init__(self, message: str, log: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.log = log


@dataclass
class Proposals:
    """What came of asking.

    Attributes:
        categories: those that can be used. log: a row a prompt: what was asked, the text, what was taken and why not.
    """

    categories: list[Category] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)


def ask_for(
    ask: Ask,
    model: str,
    categories: int,
    words: int,
    batch: int = 8,
    progress: Progress = iter,
    rows: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Ask a model for categories, then for the words of each; return a row a prompt, with what it wrote.

    Args:
        ask: the model. model: its name, for the rows.
        categories, words: how many are asked for. batch: prompts that are put to it at once.
        progress: wraps the batches. rows: a list that gets each row as it comes, for who must not lose them.
    """
    rows = [] if rows is None else rows
    prompt = CATEGORIES_PROMPT.format(n=categories)
    raw = _asked(ask, [prompt])[0]
    plurals = list(_first_of_each(names(raw)).values())[:categories]
    rows.append({"model": model, "asked": "categories", "prompt": prompt, "raw": raw, "taken": plurals})
    for some in progress([plurals[k : k + batch] for k in range(0, len(plurals), batch)]):
        prompts = [WORDS_PROMPT.format(n=words, plural=plural) for plural in some]
        for plural, asked, text in zip(some, prompts, _asked(ask, prompts), strict=True):
            rows.append({"model": model, "asked": "words", "category": plural, "prompt": asked, "raw": text})
    return rows


def usable(rows: Sequence[Mapping[str, Any]], fewest: int, judged: Judged | None = None) -> Proposals:
    """Return the categories and words of proposals that can be used, and why others cannot.

    Args:
        rows: as `ask_for` returns them, or as they were kept.
        fewest: a category with fewer words that can be used is left out.
        judged: what a validation found of words and categories; what it found wrong is left out.

    A word that two categories claim, one of them in the plural maybe, is of none of them, since its membership is in
    doubt. Of a word and its plural the plural is left out. A category that comes twice is taken once.

    Raises:
        TooFewError: fewer than two categories can be used.
    """
    asked = [row for row in rows if row.get("asked") == "words" and isinstance(row.get("category"), str)]
    pools = {row["category"]: entries(str(row.get("raw", ""))) for row in asked}
    first = _first_of_each(pools)
    known = {plural: {form for word in pools[plural] for form in _forms(word)} for plural in first.values()}
    claims = Counter(form for forms in known.values() for form in forms)
    for (plural, word), member in (judged or {}).items():
        if member and plural in known:
            claims.update(_forms(word) - known[plural])
    found = Proposals(log=[dict(row) for row in rows if row not in asked])
    taken_names: set[str] = set()
    for row in asked:
        plural = row["category"]
        taken, refused = _usable(plural, pools[plural], claims, judged or {})
        used = len(taken) >= fewest and first[singular(plural)] == plural and plural not in taken_names
        found.log.append({**row, "taken": taken, "refused": refused, "used": used})
        if used:
            taken_names.add(plural)
            found.categories.append(Category(singular(plural), plural, tuple(taken)))
    if len(found.categories) < FEWEST_CATEGORIES:
        model = rows[0].get("model", "") if rows else ""
        why = Counter(reason for row in found.log for reason in row.get("refused", {}).values())
        left_out = ", ".join(f"{n} {reason}" for reason, n in why.most_common(3))
        raise TooFewError(
            f"the model {model} proposed {len(first)} categories, of which {len(found.categories)} have at least "
            f"{fewest} words that can be used{f' (left out: {left_out})' if left_out else ''}; two are needed. Ask for "
            "smaller counts, or ask another model",
            found.log,
        )
    return found


def singular(plural: str) -> str:
    """Return a category's name: its plural with the last word in the singular, by the commonest endings."""
    for end, base in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if plural.endswith(end) and not plural.endswith("ss") and len(plural) > len(end) + 1:
            return plural[: -len(end)] + base
    return plural


def _first_of_each(plurals: Iterable[str]) -> dict[str, str]:
    """Return the first plural of each singular: "fruit" and "fruits" are one category."""
    found: dict[str, str] = {}
    for plural in plurals:
        found.setdefault(singular(plural), plural)
    return found


def _forms(word: str) -> set[str]:
    """Return a word and what it may be the plural of."""
    if not word.endswith("s") or word.endswith("ss"):
        return {word}
    found = {word, word[:-1], singular(word)}
    if word.endswith("es"):
        found.add(word[:-2])
    if word.endswith("ves"):
        found |= {word[:-3] + "f", word[:-3] + "fe"}
    return found


def _usable(plural: str, pool: Sequence[str], claims: Counter[str], judged: Judged) -> tuple[list[str], dict[str, str]]:
    """Return the words that can be used and why each of the others cannot."""
    taken: dict[str, None] = {}
    refused: dict[str, str] = {}
    every = set(pool)
    own = set(re.findall(r"[a-z]+", plural)) | {singular(plural)}
    for word in dict.fromkeys(pool):
        if not WORD.fullmatch(word):
            refused[word] = "not a single word"
        elif word in own:
            refused[word] = "the category itself"
        elif any(claims[form] > 1 for form in _forms(word)):
            refused[word] = "of several categories"
        elif judged.get((plural, word)) is False:
            refused[word] = "found wrong before"
        elif (_forms(word) - {word}) & every:
            refused[word] = "plural of another word"
        else:
            taken[word] = None
    return list(taken), refused


def _asked(ask: Ask, prompts: Sequence[str]) -> list[str]:
    texts = ask(prompts)
    if len(texts) != len(prompts):
        raise UserError(f"the model answered {len(texts)} of {len(prompts)} prompts")
    return [str(text) for text in texts]
