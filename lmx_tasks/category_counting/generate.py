"""Seeded generator of the items that the tiny family was trained on: "How many of these words are fruits?".

It stays as it is, for its items are part of what those models are; `making/` makes all other sets. Words come from
`data/categories.json`. An item's list holds `length` different words,
`count` of them from the asked category and the rest spread over the other categories.

The default grid is flat: every length from 5 to 15 with every count from 0 to `min(8, length)`
appears equally often (to within one item).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lmx_files import jsonl
from lmx_files.hashing import sha256_of_text
from lmx_tasks.category_counting.making.templates import POSITIONS, render
from lmx_tasks.category_counting.words import Category, check_categories, load_categories

__all__ = ["POSITIONS", "Category", "check_categories", "load_categories", "render"]

LENGTHS = range(5, 16)
MAX_COUNT = 8


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


def grid(lengths: Iterable[int] = LENGTHS, max_count: int = MAX_COUNT) -> list[tuple[int, int]]:
    """Return all `(length, count)` cells: count from 0 to `min(max_count, length)`."""
    return [(n, k) for n in lengths for k in range(min(max_count, n) + 1)]


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
    return sha256_of_text(key)


def write_jsonl(items: Iterable[Item], path: Path) -> None:
    """Write items, one JSON object a line."""
    jsonl.write(path, (asdict(item) for item in items), "--out")


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
