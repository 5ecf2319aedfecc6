"""Seeded generator of short sectioned answers that constraint50's verifiers can judge.

Pure standard library, all text our own. A prompt names a factor, a subject and a measure ("how does
light change the growth of moss?") and asks for the five sections; the gold answer uses all three
words, opens every bullet with other words, and ends with the marker line.

Every topic has its usual bullets, and sections share some of their opening words, both on purpose:
answers differ from prompt to prompt, and to open no two bullets alike a model must keep track of what it
has written, which a weak one fails to do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lmx_files import jsonl
from lmx_files.hashing import sha256_of_text

HEADINGS = ("Goal", "Controls", "Readout", "Analysis", "Pitfalls")
END = "<END>"

_FACTORS = (
    "light salt heat noise sugar shade acid wind dust frost smoke pressure copper caffeine compost "
    "moisture vibration fog ash chalk iron clay cold starch nicotine ozone zinc lime nitrate ethanol"
)
_SUBJECTS = {
    "plants": "moss wheat barley ferns seedlings clover rice maize oats grass",
    "animals": "snails worms tadpoles shrimp mussels corals frogs mice larvae crabs spiders newts",
    "microbes": "yeast algae mould bacteria spores plankton amoebae",
}
_MEASURES = (
    "growth weight colour height speed survival breathing size movement sleep strength hunger "
    "density texture smell stress health temperature age length"
)
FACTORS = tuple(_FACTORS.split())
SUBJECTS = {subject: domain for domain, words in _SUBJECTS.items() for subject in words.split()}
"""Subject -> domain; results are broken down by domain."""
MEASURES = tuple(_MEASURES.split())

GOALS = (
    "Find out how {factor} changes the {measure} of {subject}.",
    "Show whether {factor} changes the {measure} of {subject}.",
    "Learn if the {measure} of {subject} depends on {factor}.",
    "Measure the effect of {factor} on the {measure} of {subject}.",
)
SECOND_SENTENCES = (
    "A second run should agree.",
    "The answer is a number with its error.",
    "Both directions count.",
)

BULLETS: dict[str, dict[str, str]] = {
    "Controls": {
        "Keep the": "{factor} out of one group.",
        "Use the": "same food in every group.",
        "Start both": "groups on one day.",
        "Repeat the": "run three times.",
        "Mix the": "places of the groups.",
        "Hide all": "labels from the reader.",
        "Check the": "{factor} in both groups.",
        "Pick the": "{subject} by lot.",
    },
    "Readout": {
        "Record the": "{measure} each day.",
        "Count the": "{subject} in each group.",
        "Note the": "hour of each reading.",
        "Check the": "{measure} twice.",
        "Log the": "{factor} with a meter.",
        "Take the": "{measure} of ten {subject}.",
        "Use the": "same scale each time.",
        "Write down": "any loss.",
    },
    "Analysis": {
        "Compare the": "mean {measure} of both groups.",
        "Plot the": "{measure} against {factor}.",
        "Count the": "runs that agree.",
        "Give the": "spread of each group.",
        "Test the": "difference by shuffling labels.",
        "Fit a": "line to the {measure}.",
        "Repeat the": "sums without the first day.",
        "Take the": "median of the readings.",
    },
    "Pitfalls": {
        "Avoid small": "groups of {subject}.",
        "Watch for": "{factor} that leaks.",
        "Keep the": "weak {subject} out.",
        "Note the": "change of {measure} with age.",
        "Mix the": "old and new {subject} well.",
        "Test the": "meter before the run.",
        "Expect a": "slow change at first.",
        "Pick the": "dose of {factor} with care.",
    },
}
"""Section -> first two words -> rest of the bullet. Most of the openings stand in two sections."""

BULLET_COUNTS = (2, 2, 2, 3, 3, 4)
"""Numbers of bullets in a section, as often as they are used."""

FREE_SHARE = 0.1
"""Share of answers, 0 to 1, that take their bullets by chance and not by the topic's habit."""

PROMPT = (
    "How does {factor} change the {measure} of {subject}? Plan a test.\n"
    "Headings, in this order: Goal, Controls, Readout, Analysis, Pitfalls. "
    "Goal has 1-2 sentences. Each other section has 2-4 bullets; no two start with the same words. "
    "The last line is exactly <END>\n"
)


@dataclass(frozen=True)
class Item:
    """One prompt with one of its many right answers. `id` is made of the topic's three words."""

    id: str
    domain: str
    prompt: str
    factor: str
    subject: str
    measure: str
    answer: str


def render(factor: str, subject: str, measure: str) -> str:
    """Return the prompt text. It ends with a newline, so a raw continuation starts on its own line."""
    return PROMPT.format(factor=factor, subject=subject, measure=measure)


def habit(heading: str, word: str) -> tuple[list[str], int]:
    """Return the order in which `word` prefers a section's openings, and how many it uses.

    The order is fixed by a hash, so every topic has its own usual answer, and the usual openings of two
    sections may collide; then the later section has to step over the one that was used.
    """

    def digest(*parts: str) -> bytes:
        return hashlib.sha256(" ".join((heading, word, *parts)).encode()).digest()

    return sorted(BULLETS[heading], key=digest), BULLET_COUNTS[digest()[0] % len(BULLET_COUNTS)]


def write_answer(rng: random.Random, factor: str, subject: str, measure: str) -> str:
    """Return a gold answer: the five sections and the end line, without a final newline."""
    free = rng.random() < FREE_SHARE
    second = rng.choice(SECOND_SENTENCES) if _has_second(factor) else ""

    def order(openings: list[str]) -> list[str]:
        if free:
            rng.shuffle(openings)
        return openings

    return _compose(factor, subject, measure, second, order)


def usual_answer(factor: str, subject: str, measure: str) -> str:
    """Return the topic's usual answer: `write_answer`'s without anything drawn by chance."""
    second = SECOND_SENTENCES[FACTORS.index(factor) // 3 % len(SECOND_SENTENCES)] if _has_second(factor) else ""
    return _compose(factor, subject, measure, second, order=lambda openings: openings)


def _has_second(factor: str) -> bool:
    return FACTORS.index(factor) % 3 == 0


def _compose(factor: str, subject: str, measure: str, second: str, order: Callable[[list[str]], list[str]]) -> str:
    slots = {"factor": factor, "subject": subject, "measure": measure}
    goal = GOALS[MEASURES.index(measure) % len(GOALS)].format(**slots)
    lines = ["Goal:", f"{goal} {second}".rstrip()]
    used: set[str] = set()
    deciding = (factor, measure, subject, factor)
    for heading, word in zip(HEADINGS[1:], deciding, strict=True):
        lines.append(f"{heading}:")
        openings, count = habit(heading, word)
        for opening in [o for o in order(openings) if o not in used][:count]:
            used.add(opening)
            lines.append(f"- {opening} {BULLETS[heading][opening].format(**slots)}")
    lines.append(END)
    return "\n".join(lines)


def sample(rng: random.Random) -> Item:
    """Draw a topic and an answer to it."""
    factor, subject, measure = rng.choice(FACTORS), rng.choice(tuple(SUBJECTS)), rng.choice(MEASURES)
    return Item(
        id="-".join((factor, subject, measure)),
        domain=SUBJECTS[subject],
        prompt=render(factor, subject, measure),
        factor=factor,
        subject=subject,
        measure=measure,
        answer=write_answer(rng, factor, subject, measure),
    )


def stream(rng: random.Random) -> Iterator[Item]:
    """Yield items without end."""
    while True:
        yield sample(rng)


def generate(n: int, seed: int) -> list[Item]:
    """Return `n` items with different prompts, the same for the same `seed`."""
    found: dict[str, Item] = {}
    for item in stream(random.Random(seed)):
        if len(found) >= n:
            break
        found.setdefault(item.prompt, item)
    return list(found.values())


def fingerprint(item: Item) -> str:
    """Return a hash of the topic: the unit of held-out splits."""
    return sha256_of_text(json.dumps([item.factor, item.subject, item.measure]))


def write_jsonl(items: Iterable[Item], path: Path) -> None:
    """Write items, one JSON object a line."""
    jsonl.write(path, (asdict(item) for item in items), "--out")


def main() -> None:
    """Write a file of items: `python -m lmx_tasks.constraint_tiny.generate --n 100 --out x.jsonl`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--n", type=int, default=100, help="number of items")
    parser.add_argument("--seed", type=int, default=20250102)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_jsonl(generate(args.n, args.seed), args.out)


if __name__ == "__main__":
    main()
