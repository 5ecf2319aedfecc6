"""Validates a set of counting items: each item's count against who belongs, and the set's design and duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lmx_tasks.category_counting.checking.design import design_of
from lmx_tasks.category_counting.checking.membership import Ask, Pair, ask_model, by_lists
from lmx_tasks.category_counting.making.systematic import Doc, question_id

RIGHT, WRONG, UNDECIDED, DUPLICATE, MALFORMED = "right", "wrong", "undecided", "duplicate", "malformed"
SHOWN = 100
"""Bad examples that the results show whole; the verdict of every item is in them."""
Progress = Callable[[Sequence[Any]], Iterable[Any]]


def validate(
    docs: Sequence[Doc],
    ask: Ask | None = None,
    progress: Progress = iter,
    before: Mapping[Pair, dict[str, Any]] | None = None,
    keep: Callable[[Iterable[Mapping[str, Any]]], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the results of validating a set, as JSON values.

    Args:
        ask: a model that is asked about what the lists cannot decide; each word of a category is asked about once.
        progress: wraps a sequence while it is worked on.
        before: what the model has said before, and is not asked again. keep: gets its answers as they come.

    Of each item: ``right`` or ``wrong`` if its count is (not) the number of its words that belong; ``undecided`` if
    that cannot be said; ``malformed``; ``duplicate`` of an earlier item: the same category in the same words.
    Accuracy is over the items that are right or wrong.
    """
    decided: dict[Pair, dict[str, Any]] = {}
    for doc in docs:
        for pair in _pairs(doc):
            if pair not in decided:
                decided[pair] = {"member": by_lists(*pair, str(doc.get("lists", ""))), "by": "lists"}
    open_pairs = [pair for pair, verdict in decided.items() if verdict["member"] is None]
    answers = dict(before or {})
    if ask and (unasked := [pair for pair in open_pairs if pair not in answers]):
        answers |= ask_model(ask, unasked, progress, keep)
    for pair in open_pairs:
        decided[pair] = {**answers.get(pair, {"member": None}), "by": "model" if pair in answers else "nobody"}
    verdicts = _verdicts(docs, decided)
    proposed = {_plural(doc) for doc in docs if doc.get("source") == "model"}
    bad = [number for number, verdict in enumerate(verdicts) if verdict["verdict"] != RIGHT]
    return {
        "validation": 1,
        "items": len(docs),
        "verdicts": {name: sum(v["verdict"] == name for v in verdicts) for name in
                     (RIGHT, WRONG, UNDECIDED, DUPLICATE, MALFORMED)},
        "accuracy": _accuracy(verdicts),
        "by_category": _groups(docs, verdicts, lambda doc: _plural(doc)),
        "by_count": _groups(docs, verdicts, lambda doc: doc["count"]),
        "by_length": _groups(docs, verdicts, lambda doc: len(doc["words"])),
        "by_source": _groups(docs, verdicts, lambda doc: str(doc.get("source") or "systematic")),
        "decided_by": dict(Counter(verdict["by"] for verdict in decided.values())),
        "design": design_of(docs),
        "words": [
            {"category": plural, "word": word, **decided[plural, word]}
            for plural, word in decided if decided[plural, word]["by"] != "lists" or plural in proposed
        ],
        "bad_examples": [{"item": k, **verdicts[k], "prompt": docs[k]["prompt"]} for k in bad[:SHOWN]],
        "per_item": verdicts,
    }  # fmt: skip


def _verdicts(docs: Sequence[Doc], decided: Mapping[Pair, Mapping[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    found = []
    for number, doc in enumerate(docs):
        verdict = _verdict(doc, decided)
        verdict["id"] = question_id(_plural(doc), doc["words"])
        first = seen.setdefault(verdict["id"], number)
        if first != number and verdict["verdict"] == RIGHT:
            verdict |= {"verdict": DUPLICATE, "why": f"asks what item {first} asks"}
        found.append(verdict)
    return found


def _verdict(doc: Doc, decided: Mapping[Pair, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the verdict of one item, whatever the others are; `why` says what is wrong in words."""
    words = doc["words"]
    if why := _malformed(doc):
        return {"verdict": MALFORMED, "count": doc["count"], "found": None, "why": why}
    verdicts = [decided[pair]["member"] for pair in _pairs(doc)]
    members = [word for word, verdict in zip(words, verdicts, strict=True) if verdict]
    unknown = [word for word, verdict in zip(words, verdicts, strict=True) if verdict is None]
    said = {"count": doc["count"], "found": len(members) if not unknown else None}
    if not len(members) <= doc["count"] <= len(members) + len(unknown):
        plural = _plural(doc)
        why = f"{plural}: {', '.join(members) or 'none'}" + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        return {"verdict": WRONG, **said, "why": why}
    if unknown:
        return {"verdict": UNDECIDED, **said, "why": f"unknown: {', '.join(unknown)}"}
    return {"verdict": RIGHT, **said, "why": ""}


def _malformed(doc: Doc) -> str:
    words = doc["words"]
    if not words or len(set(words)) != len(words):
        return "a word comes twice" if words else "no words"
    if doc.get("length", len(words)) != len(words):
        return f"its length is {doc['length']}, but there are {len(words)} words"
    if not 0 <= doc["count"] <= len(words):
        return f"a count of {doc['count']} among {len(words)} words"
    if missing := [word for word in words if word not in doc["prompt"]]:
        return f"not in its prompt: {', '.join(missing[:5])}"
    if _plural(doc) not in doc["prompt"]:
        return f"its prompt does not ask for {_plural(doc)}"
    return ""


def _pairs(doc: Doc) -> list[Pair]:
    plural = _plural(doc)
    return [(plural, word) for word in doc["words"]]


def _plural(doc: Doc) -> str:
    return str(doc.get("plural") or doc["category"])


def _accuracy(verdicts: Sequence[Mapping[str, Any]]) -> float | None:
    judged = [verdict["verdict"] for verdict in verdicts if verdict["verdict"] in (RIGHT, WRONG)]
    return sum(each == RIGHT for each in judged) / len(judged) if judged else None


def _groups(docs: Sequence[Doc], verdicts: Sequence[dict[str, Any]], key: Callable[[Doc], Any]) -> list[dict[str, Any]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for doc, verdict in zip(docs, verdicts, strict=True):
        groups[key(doc)].append(verdict)
    return [
        {
            "group": name,
            "n": len(rows),
            "accuracy": _accuracy(rows),
            **{
                kind: sum(row["verdict"] == kind for row in rows)
                for kind in (RIGHT, WRONG, UNDECIDED, DUPLICATE, MALFORMED)
            },
        }
        for name, rows in sorted(groups.items())
    ]
