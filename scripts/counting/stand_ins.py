"""Chooses, for each word of the counting lists, the words of other categories that look like it.

    pip install wordfreq; apt-get install wordnet-base
    python scripts/counting/stand_ins.py [--wordnet /usr/share/wordnet]

A list with more words of one category must not stand out by what its words look like: their number of characters, of
tokens in two tokenizers (SmolLM2's and that of the shipped tiny models), how rare their pieces, how frequent they
are in English (wordfreq), how many senses they have (WordNet). So a word outside the category is a stand-in of a word
of it. All words are matched at once, so that each is a stand-in of equally many: twelve times an assignment of least
distance (Jonker and Volgenant's algorithm in scipy), each without the pairs of those before. Writes
`lmx_tasks/category_counting/data/stand_ins.json`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from tokenizers import Tokenizer

from lmx_files import atomic, jsonl
from lmx_tasks.category_counting.making.systematic import lists_id
from lmx_tasks.category_counting.words import DATA, load_categories, owners

EACH = 12
FORBIDDEN = 1e4
WEIGHTS = {"characters": 1.0, "tokens": 1.0, "tiny_tokens": 1.5, "rarity": 1.0, "frequency": 1.2, "senses": 0.7}
ROOT = Path(__file__).resolve().parents[2]


def looks(words: list[str], wordnet: Path) -> np.ndarray:
    """Return what each word looks like, ``[words, len(WEIGHTS)]``, each column weighted and of deviation 1."""
    from wordfreq import zipf_frequency

    from lmx_models.zoo.catalogue import fetch

    small = Tokenizer.from_file(str(fetch("smollm2-135m") / "tokenizer.json"))
    tiny = Tokenizer.from_file(str(ROOT / "lmx_models" / "tiny" / "tiny-base" / "tokenizer.json"))
    senses = dict.fromkeys(words, 0)
    for line in (wordnet / "index.noun").read_text(encoding="utf-8").splitlines():
        name, *rest = line.split(" ")
        if name in senses:
            senses[name] = int(rest[1])
    rows = []
    for word in words:
        pieces = small.encode(f" {word}").ids
        rarity = sum(math.log(piece + 1) for piece in pieces)
        frequency, common = zipf_frequency(word, "en"), math.log1p(senses[word])
        rows.append([len(word), len(pieces), len(tiny.encode(f" {word}").ids), rarity, frequency, common])
    found = np.array(rows, dtype=float)
    return (found - found.mean(0)) / found.std(0) * np.array(list(WEIGHTS.values()))


def stand_ins(words: list[str], owner: dict[str, str], seen: np.ndarray) -> dict[str, list[str]]:
    """Return `EACH` words of other categories for each word; each word is given `EACH` times."""
    cost = ((seen[:, None] - seen[None]) ** 2).sum(-1)
    category = np.array([sorted(set(owner.values())).index(owner[word]) for word in words])
    cost[category[:, None] == category[None]] = FORBIDDEN
    found: dict[str, list[str]] = {word: [] for word in words}
    for number in range(EACH):
        rows, columns = linear_sum_assignment(cost)
        print(f"{number + 1}/{EACH}: mean squared distance {cost[rows, columns].mean():.3f}")
        assert cost[rows, columns].max() < FORBIDDEN
        cost[rows, columns] = FORBIDDEN
        for row, column in zip(rows, columns, strict=True):
            found[words[row]].append(words[column])
    return found


def main() -> None:
    """Write the stand-ins of the lists `full`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    args = parser.parse_args()
    owner = owners("full")
    words = sorted(owner)
    found = stand_ins(words, owner, looks(words, args.wordnet))
    lines = ",\n".join(f"  {jsonl.strict(word)}: {jsonl.strict(' '.join(found[word]))}" for word in words)
    head = f'{{\n "words": {jsonl.strict(lists_id(load_categories("full")))},\n "stand_ins": {{\n'
    atomic.write(DATA / "stand_ins.json", head + lines + "\n }\n}\n")


if __name__ == "__main__":
    main()
