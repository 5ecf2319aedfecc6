"""Time the overlap metrics on 10,000 pairs, beside rouge-score as it comes.

    python benchmarks/overlap.py --data FILE     # what `lmx data prepare superni` wrote; default: the shipped tasks

A pair is a text with the references of an instance: one of these (30 %), another instance's output (30 %), the start of
the input (30 %), or nothing (10 %). Seconds are of processor time, of one core, model and files apart.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

from lmx_metrics import overlap
from lmx_tasks import instructions
from lmx_tasks.superni import data

PAIRS, SEED = 10_000, 18


def pairs(docs: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return `PAIRS` texts with references."""
    rng = random.Random(SEED)
    made = []
    for _ in range(PAIRS):
        doc, other, kind = rng.choice(docs), rng.choice(docs), rng.random()
        texts = [rng.choice(doc["references"]), other["references"][0], doc["question"][:400], ""]
        made.append((texts[(kind > 0.3) + (kind > 0.6) + (kind > 0.9)], doc["references"]))
    return made


def main() -> None:
    """Print the seconds of each way, and the largest difference between them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    path = parser.parse_args().data
    rows = data.mini(None) if path is None else instructions.read_tasks(path, data.KEY)
    todo = pairs(data.documents(rows))
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    overlap.score("warm", ["warm"])
    print(f"{PAIRS:,} texts, {sum(len(references) for _, references in todo):,} references")
    begin = time.process_time()
    ours = [overlap.best(text, references) for text, references in todo]
    print(f"published metrics: {time.process_time() - begin:.2f} s")
    begin = time.process_time()
    for text, references in todo:
        overlap.score(text, references)
    print(f"with the Unicode variant: {time.process_time() - begin:.2f} s")
    begin = time.process_time()
    worst = 0.0
    for (text, references), values in zip(todo, ours, strict=True):
        scores = [theirs.score(reference, text) for reference in references]
        for name in ("rouge1", "rougeL"):
            worst = max(worst, abs(100 * max(score[name].fmeasure for score in scores) - values[name]))
    print(f"rouge-score as it comes: {time.process_time() - begin:.2f} s; largest difference {worst:.1g}")


if __name__ == "__main__":
    main()
