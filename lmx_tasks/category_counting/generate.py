"""Seeded generator of category-counting items: "How many of these words are fruits?".

Pure standard library. Words come from `data/categories.json`: our own lists of single, lower-case
English nouns, where no word stands in two categories. An item's list holds `length` different words,
`count` of them from the asked category and the rest spread over the other categories.

The default grid is flat: every length from 5 to 15 with every count from 0 to `min(8, length)`
appears equally often (to within one item).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

CATEGORIES_FILE = Path(__file__).parent / "data" / "categories.json"
POSITIONS = ("before", "after")
"""Where the question stands: before the list (a causal model can count as it reads) or after it."""

LENGTHS = range(5, 16)
MAX_COUNT = 8
WORD = re.compile(r"[a-z]{2,}")


@dataclass(frozen=True)
class Category:
    """A named set of words; `plural` is what a question asks for."""

    name: str
    plural: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """One question. `count` is the gold answer, `length` the number of words in the list."""

    prompt: str
    count: int
    length: int
    category: str
    position: str
    words: tuple[str, ...]

    @property
    def answer(self) -> str:
        """Return the gold answer as text, e.g. `"3"`."""
        return str(self.count)


def check_categories(categories: Iterable[Category], minimum: int = 30) -> list[str]:
    """Return every fault of the word lists as a sentence; an empty list means they are clean.

    A word must be one lower-case English word, and stand once, in one category; a category must
    have at least `minimum` words.
    """
    faults: list[str] = []
    owner: dict[str, str] = {}
    for category in categories:
        if len(category.words) < minimum:
            faults.append(f"{category.name}: {len(category.words)} words, fewer than {minimum}")
        for word in category.words:
            if not WORD.fullmatch(word):
                faults.append(f"{category.name}: {word!r} is not a single lower-case word")
            if word in owner:
                faults.append(f"{word!r} stands in {owner[word]} and in {category.name}")
            owner[word] = category.name
    return faults


@lru_cache(maxsize=1)
def load_categories() -> tuple[Category, ...]:
    """Read the shipped word lists; raise `ValueError` if they are not clean and disjoint."""
    raw = json.loads(CATEGORIES_FILE.read_text(encoding="utf-8"))
    categories = tuple(Category(c["name"], c["plural"], tuple(c["words"])) for c in raw["categories"])
    faults = check_categories(categories)
    if faults:
        raise ValueError(f"{CATEGORIES_FILE.name}: " + "; ".join(faults))
    return categories


def grid(lengths: Iterable[int] = LENGTHS, max_count: int = MAX_COUNT) -> list[tuple[int, int]]:
    """Return all `(length, count)` cells: count from 0 to `min(max_count, length)`."""
    return [(n, k) for n in lengths for k in range(min(max_count, n) + 1)]


def render(plural: str, words: Iterable[str], position: str = "before") -> str:
    """Return the prompt text. It ends with a newline, so a raw continuation starts on its own line."""
    question = f"How many of these words are {plural}?\n"
    listing = f"Words: {', '.join(words)}\n"
    if position == "before":
        return question + listing
    if position == "after":
        return listing + question
    raise ValueError(f"position {position!r} is not one of {', '.join(POSITIONS)}")


def sample(rng: random.Random, length: int, count: int, category: Category, position: str = "before") -> Item:
    """Draw one item with `count` words of `category` among `length`; the others from other categories."""
    others = [c for c in load_categories() if c.name != category.name]
    words = rng.sample(category.words, count)
    taken: set[str] = set()
    while len(words) < length:
        word = rng.choice(rng.choice(others).words)
        if word not in taken:
            taken.add(word)
            words.append(word)
    rng.shuffle(words)
    prompt = render(category.plural, words, position)
    return Item(prompt, count, length, category.name, position, tuple(words))


def stream(rng: random.Random, after_share: float = 0.0) -> Iterator[Item]:
    """Yield items without end, flat over the grid (each pass takes every cell once) and over categories.

    `after_share` is the share of items, 0 to 1, that ask after the list instead of before it.
    """
    categories = load_categories()
    queue: list[Category] = []
    while True:
        cells = grid()
        rng.shuffle(cells)
        for length, count in cells:
            if not queue:
                queue = rng.sample(categories, len(categories))
            position = "after" if rng.random() < after_share else "before"
            yield sample(rng, length, count, queue.pop(), position)


def generate(n: int, seed: int, position: str = "before") -> list[Item]:
    """Return `n` items with different prompts, the same for the same `seed`."""
    rng = random.Random(seed)
    found: dict[str, Item] = {}
    for item in stream(rng, after_share=float(position == "after")):
        if len(found) >= n:
            break
        found.setdefault(item.prompt, item)
    return list(found.values())


def fingerprint(item: Item) -> str:
    """Return a hash of the question that ignores word order and position: the unit of held-out splits."""
    key = json.dumps([item.category, sorted(item.words)])
    return hashlib.sha256(key.encode()).hexdigest()


def write_jsonl(items: Iterable[Item], path: Path) -> None:
    """Write items, one JSON object a line."""
    path.write_text("".join(json.dumps(asdict(i)) + "\n" for i in items), encoding="utf-8")


def main() -> None:
    """Write a file of items: `python -m lmx_tasks.category_counting.generate --n 200 --out x.jsonl`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--n", type=int, default=200, help="number of items")
    parser.add_argument("--seed", type=int, default=20250101)
    parser.add_argument("--position", choices=POSITIONS, default="before")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_jsonl(generate(args.n, args.seed, args.position), args.out)


if __name__ == "__main__":
    main()
