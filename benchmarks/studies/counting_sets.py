"""How long sets of counting items take, how flat and even they are, and what their looks tell of the count.

    python benchmarks/studies/counting_sets.py [--quick] [--frequencies]

Prints processor seconds of making and of validating 3,000 and 30,000 items (duplicates among them), flatness, the use
of words, and out-of-fold R2 of the count from surface features (list length partialled out) by ridge regression and
by boosted trees, over several seeds; beside it the R2 when words outside the category are drawn at large. Features:
characters, tokens and token ids of the shipped tokenizer and, where it is cached, SmolLM2's, share of vowels, WordNet
senses (where Debian's wordnet-base is), frequency in English (`--frequencies`, with the package wordfreq): mean,
deviation, extremes, sum, first, last, slope along the list, steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict
from tokenizers import Tokenizer

from lmx_models.zoo.catalogue import available, fetch
from lmx_tasks.category_counting.checking.surface import features, out_of_fold_r2
from lmx_tasks.category_counting.checking.validate import validate
from lmx_tasks.category_counting.making import systematic
from lmx_tasks.category_counting.words import load_categories, owners

ROOT = Path(__file__).resolve().parents[2]
WORDNET = Path("/usr/share/wordnet/index.noun")


def looks(frequencies: bool) -> tuple[list[str], dict[str, list[float]]]:
    """Return the names of a word's numbers, and the numbers of each word."""
    tokenizers = {"tiny": Tokenizer.from_file(str(ROOT / "lmx_models" / "tiny" / "tiny-base" / "tokenizer.json"))}
    if available("smollm2-135m"):
        tokenizers["SmolLM2"] = Tokenizer.from_file(str(fetch("smollm2-135m") / "tokenizer.json"))
    senses = {}
    if WORDNET.is_file():
        for line in WORDNET.read_text(encoding="utf-8").splitlines():
            name, *rest = line.split(" ")
            senses[name] = rest[1]
    names = ["characters", "vowels", *(f"{kind} {name}" for name in tokenizers for kind in ("tokens", "greatest id"))]
    names += ["senses"] * bool(senses) + ["frequency"] * frequencies
    found = {}
    for word in owners("full"):
        row = [float(len(word)), sum(letter in "aeiou" for letter in word) / len(word)]
        for tokenizer in tokenizers.values():
            ids = tokenizer.encode(f" {word}").ids
            row += [float(len(ids)), float(max(ids))]
        if senses:
            row.append(float(np.log1p(int(senses.get(word, 0)))))
        if frequencies:
            from wordfreq import zipf_frequency

            row.append(zipf_frequency(word, "en"))
        found[word] = row
    return names, found


def trees(seen: np.ndarray, docs: list[dict]) -> float:
    """Return the out-of-fold R2 of boosted trees, with list length partialled out of the count."""
    lengths = np.array([doc["length"] for doc in docs])
    y = np.array([doc["count"] for doc in docs], dtype=float)
    for length in np.unique(lengths):
        y[lengths == length] -= y[lengths == length].mean()
    model = HistGradientBoostingRegressor(max_iter=60, learning_rate=0.05, random_state=0)
    x = np.column_stack([seen[:, : seen.shape[1] // 2], lengths])
    guess = cross_val_predict(model, x, y, cv=KFold(5, shuffle=True, random_state=0))
    return 1 - ((y - guess) ** 2).sum() / (y**2).sum()


def speed(n: int) -> list[dict]:
    """Print what making and validating `n` items costs; return the items."""
    started = time.process_time()
    docs = systematic.make(n, 1)
    made = time.process_time()
    results = validate(docs)
    checked = time.process_time()
    design = results["design"]
    doubled = validate([*docs[: n // 2], *docs[: n // 2]])["verdicts"]["duplicate"]
    print(f"{n:,} items: made in {made - started:.2f} s, validated in {checked - made:.2f} s: {results['verdicts']};")
    print(f"  with one half in place of the other, {doubled:,} duplicates; cells differ by at most", end=" ")
    print(f"{design['largest_difference_of_cells']}, categories within a count by", end=" ")
    print(design["largest_difference_of_categories_in_a_count"], end="; ")
    use = Counter(word for doc in docs for word in doc["words"])
    means = {c.name: statistics.mean(use[word] for word in c.words) for c in load_categories("full")}
    worst = max(abs(use[word] / means[owner] - 1) for word, owner in owners("full").items())
    print(f"a word's use is at most {worst:.1%} from its category's mean")
    return docs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, no trees, 3,000 items only")
    parser.add_argument("--frequencies", action="store_true", help="with the package wordfreq")
    args = parser.parse_args()
    for n in (3_000,) if args.quick else (3_000, 30_000):
        speed(n)
    names, table = looks(args.frequencies)
    print(f"out-of-fold R2 of the count in 3,000 items, list length partialled out; by {', '.join(names)}")
    stand_ins = systematic.load_stand_ins
    for seed in (1,) if args.quick else (1, 2, 3, 4, 5):
        for kind, chosen in (("shipped", stand_ins), ("at large", dict)):
            systematic.load_stand_ins = chosen
            docs = systematic.make(3_000, seed)
            seen = features(docs, table)
            single = [{word: [row[k]] for word, row in table.items()} for k in range(len(names))]
            each = [out_of_fold_r2(features(docs, one), docs) for one in single]
            boosted = "" if args.quick else f", trees {trees(seen, docs):.4f}"
            most = max(range(len(names)), key=each.__getitem__)
            print(f"  seed {seed}, {kind}: ridge {out_of_fold_r2(seen, docs):.4f}{boosted};", end=" ")
            print(f"by one feature at most {each[most]:.4f} ({names[most]})", flush=True)
    systematic.load_stand_ins = stand_ins


if __name__ == "__main__":
    main()
