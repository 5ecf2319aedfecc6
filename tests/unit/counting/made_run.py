"""Runs of the counting tasks as lm_eval leaves them, answered by a made model whose errors are known."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.systematic import make
from lmx_tasks.category_counting.variants import questions

Doc = dict[str, Any]
STAMP = "2026-01-02T03-04-05.00000{}"


@dataclass
class Model:
    """Judges words, counts what it judges, and says so, each with an error rate of its own.

    Attributes:
        missed, false: rates at which a member is called none, and another word one; each word is judged once.
        miscounts: rate at which a count is one off. silent: rate at which no number is said.
    """

    missed: float = 0.0
    false: float = 0.0
    miscounts: float = 0.0
    silent: float = 0.0
    seed: int = 0
    _judged: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def judges(self, category: str, word: str, member: bool) -> bool:
        """Return whether it takes a word for one of a category, always the same."""
        key = (category, word)
        if key not in self._judged:
            wrong = self.rng.random() < (self.missed if member else self.false)
            self._judged[key] = member != wrong
        return self._judged[key]

    def says(self, count: int) -> str:
        """Return an answer for a count, with the errors of counting and saying."""
        if self.rng.random() < self.silent:
            return "I cannot tell."
        if self.rng.random() < self.miscounts:
            count += 1 if count == 0 else self.rng.choice((-1, 1))
        return str(count)

    def answer(self, doc: Doc) -> str:
        """Return its answer to a question of any variant but the parts."""
        variant = doc.get("variant", "count")
        if variant == "membership":
            return "Yes." if self.judges(doc["category"], doc["word"], bool(doc["member"])) else "No."
        if variant in ("all", "nonce"):
            return self.says(doc["count"])
        members = {word for word, owner in zip(doc["words"], _owners(doc), strict=True) if owner == doc["category"]}
        return self.says(sum(self.judges(doc["category"], word, word in members) for word in doc["words"]))


def _owners(doc: Doc) -> list[str]:
    from lmx_tasks.category_counting.words import owners

    return [owners(doc["lists"])[word] for word in doc["words"]]


def documents(n: int, seed: int = 3, **design: Any) -> dict[str, list[Doc]]:
    """Return the documents of the four tasks that a split needs, about the same lists."""
    base = make(n, seed, Design(**design))
    return {
        "category_counting": base,
        "category_counting_all": questions.all_words(base),
        "category_counting_nonce": questions.invented(base, seed),
        "category_counting_membership": questions.membership(base),
    }


def write_run(
    folder: Path,
    tasks: dict[str, list[Doc]],
    answer: Callable[[Doc], str],
    model: str = "made",
    stamp: int = 6,
    shots: int = 0,
) -> Path:
    """Write results and samples of a run in which each document got the text that `answer` gives."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "results": {task: {"alias": task, "sample_len": len(docs)} for task, docs in tasks.items()},
        "configs": {task: {"task": task} for task in tasks},
        "n-shot": dict.fromkeys(tasks, shots),
        "n-samples": {task: {"original": len(docs), "effective": len(docs)} for task, docs in tasks.items()},
        "config": {"model": "hf", "model_args": {"pretrained": model}},
    }
    at = STAMP.format(stamp)
    (folder / f"results_{at}.json").write_text(json.dumps(results))
    for task, docs in tasks.items():
        (folder / f"samples_{task}_{at}.jsonl").write_text("".join(_samples(docs, answer)))
    return folder


def _samples(docs: list[Doc], answer: Callable[[Doc], str]) -> Iterable[str]:
    for number, doc in enumerate(docs):
        text = answer(doc)
        sample = {
            "doc_id": number, "doc": doc, "target": "", "arguments": {}, "resps": [[text]], "filtered_resps": [text],
            "filter": "none", "metrics": [],
        }  # fmt: skip
        yield json.dumps(sample) + "\n"
