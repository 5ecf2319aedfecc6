"""Training text of the tiny family: a seeded mixture of generated tasks, never a held-out prompt.

Three kinds of example, each a `(prompt, answer)` pair of plain text:

- `counting`: category counting (`lmx_tasks.category_counting`), mostly with the question first;
- `naming`: name the category of each word, which teaches the word lists quickly;
- `sections`: the sectioned answer of `lmx_tasks.constraint_tiny`.

Four fifths are wrapped in the chat format, one fifth stay raw, so that a model also answers a user who
forgets `--apply_chat_template`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice

from lmx_tasks.category_counting import generate as counting
from lmx_tasks.constraint_tiny import generate as sections

HELD_OUT_COUNTING = (200, 20250101)
HELD_OUT_SECTIONS = (100, 20250102)
"""`(number, seed)` of the shipped evaluation prompts: the defaults of the two generators."""

RAW_SHARE = 0.2
SYSTEM_SHARE = 0.15
AFTER_SHARE = 0.1
SYSTEM_TEXTS = ("You are a helpful assistant.", "Answer with care.", "You answer in plain text.")

EOS, PAD, USER, ASSISTANT, SYSTEM, MASK = (
    "<|eos|>",
    "<|pad|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|MASK|>",
)
SPECIAL_TOKENS = (PAD, EOS, USER, ASSISTANT, SYSTEM, MASK)


@dataclass(frozen=True)
class Example:
    """A prompt and the answer to learn, both already in the format the model reads."""

    prompt: str
    answer: str


@lru_cache(maxsize=1)
def held_out() -> frozenset[str]:
    """Return the fingerprints of every evaluation prompt; no training example may have one of them."""
    n, seed = HELD_OUT_COUNTING
    prints = {counting.fingerprint(i) for i in counting.generate(n, seed)}
    n, seed = HELD_OUT_SECTIONS
    prints |= {sections.fingerprint(i) for i in sections.generate(n, seed)}
    return frozenset(prints)


def wrap(rng: random.Random, prompt: str, answer: str) -> Example:
    """Return the pair in the chat format, or raw for a share of the draws."""
    if rng.random() < RAW_SHARE:
        return Example(prompt, answer + EOS)
    if rng.random() < 0.5:
        prompt = prompt.rstrip("\n")
    system = f"{SYSTEM}{rng.choice(SYSTEM_TEXTS)}{EOS}" if rng.random() < SYSTEM_SHARE else ""
    return Example(f"{system}{USER}{prompt}{EOS}{ASSISTANT}", answer + EOS)


def stream_counting(rng: random.Random) -> Iterator[Example]:
    """Yield counting examples that are not held out."""
    for item in counting.stream(rng, AFTER_SHARE):
        if counting.fingerprint(item) not in held_out():
            yield wrap(rng, item.prompt, item.answer)


def stream_naming(rng: random.Random) -> Iterator[Example]:
    """Yield examples that ask for the category of each of 8 words; the answer repeats the words."""
    everything = [(word, c.name) for c in counting.load_categories() for word in c.words]
    while True:
        chosen = rng.sample(everything, 8)
        prompt = f"What are these words?\nWords: {', '.join(w for w, _ in chosen)}\n"
        yield wrap(rng, prompt, "Kinds:" + ",".join(f" {word}: {name}" for word, name in chosen))


def stream_listing(rng: random.Random) -> Iterator[Example]:
    """Yield examples that ask which words belong to a category; the answer keeps the list's order."""
    members = {c.name: set(c.words) for c in counting.load_categories()}
    plurals = {c.name: c.plural for c in counting.load_categories()}
    for item in counting.stream(rng):
        if counting.fingerprint(item) not in held_out():
            found = [word for word in item.words if word in members[item.category]]
            prompt = item.prompt.replace("How many", "Which", 1)
            assert plurals[item.category] in prompt
            yield wrap(rng, prompt, "Found: " + (", ".join(found) or "none"))


def stream_sections(rng: random.Random, usual: bool = False) -> Iterator[Example]:
    """Yield sectioned answers to topics that are not held out; `usual` ones leave nothing to chance."""
    for item in sections.stream(rng):
        if sections.fingerprint(item) not in held_out():
            answer = sections.usual_answer(item.factor, item.subject, item.measure) if usual else item.answer
            yield wrap(rng, item.prompt, answer)


STREAMS: dict[str, Callable[[random.Random], Iterator[Example]]] = {
    "counting": stream_counting,
    "naming": stream_naming,
    "listing": stream_listing,
    "sections": stream_sections,
}
USUAL_STREAMS: dict[str, Callable[[random.Random], Iterator[Example]]] = {
    **STREAMS,
    "sections": partial(stream_sections, usual=True),
}


def tokenizer_corpus(seed: int = 0) -> Iterator[str]:
    """Yield the text the tokenizer is trained on: every list word often, and a sample of each kind."""
    rng = random.Random(seed)
    for category in counting.load_categories():
        for word in category.words:
            yield f", {word}" * 40
        yield f" {category.plural} {category.name} {category.name}," * 200
    yield " ".join(SYSTEM_TEXTS) * 50
    for kind in STREAMS:
        for example in islice(STREAMS[kind](rng), 2000):
            text = example.prompt + example.answer
            for token in SPECIAL_TOKENS:
                text = text.replace(token, "\n")
            yield text
