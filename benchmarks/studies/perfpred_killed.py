"""A fine-tuned predictor is killed (SIGKILL) in training and goes on: are its numbers those of an unbroken run?

    python benchmarks/studies/perfpred_killed.py --data SET --predictor lora      # SmolLM2-135M with LoRA
    python benchmarks/studies/perfpred_killed.py --data SET --predictor roberta   # all-MiniLM-L6-v2, all of it

SET is what `lmx perfpred build` wrote. Three processes: one unbroken, one that is killed as soon as its first
checkpoint is whole, and one that goes on from that. Few tasks, tokens and epochs, so that it ends in minutes. Prints
the development errors by epoch and the predictions' largest difference.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmx_analysis.performance_prediction import data, predictor

SHARED = {"batch_size": 8, "epochs": 3, "save_seconds": 0}
SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"model": "smollm2-135m", "max_tokens": 16, "r": 16, "alpha": 16, "learning_rate": 1e-4},
    "roberta": {"model": "all-minilm-l6-v2", "max_tokens": 64, "learning_rate": 1e-4},
}
TRAIN, DEV, TEST = 16, 8, 8


@dataclass(frozen=True)
class Texts:
    """Definitions of tasks, which is all that these predictors look at."""

    definitions: tuple[str, ...]


def fit(dataset: Path, name: str, checkpoints: Path) -> None:
    """Train in this process and print errors, predictions and seconds as JSON."""
    rows = data.read(dataset)[: TRAIN + DEV + TEST]
    scores = np.array([row.scores["rougeL"].mean for row in rows])
    scores = (scores - scores[:TRAIN].mean()) / scores[:TRAIN].std()
    texts = [row.definition for row in rows]
    parts = [Texts(tuple(texts[a:b])) for a, b in ((0, TRAIN), (TRAIN, TRAIN + DEV), (TRAIN + DEV, None))]
    made: Any = predictor.find(name).make(seed=42, checkpoints=checkpoints, **SHARED, **SETTINGS[name])
    begin = time.perf_counter()
    made.fit(parts[0], scores[:TRAIN], (parts[1], scores[TRAIN : TRAIN + DEV]))
    seconds = time.perf_counter() - begin
    made._constant = False  # what was learned, also where the mean was better on the development tasks
    print(json.dumps({"errors": made.errors, "predicted": made.predict(parts[2]).tolist(), "seconds": seconds}))


def main() -> None:
    """Start the three processes and compare what they print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--predictor", choices=sorted(SETTINGS), default="lora")
    parser.add_argument("--checkpoints", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.checkpoints:
        return fit(chosen.data, chosen.predictor, chosen.checkpoints)
    folder = Path(tempfile.mkdtemp())

    def command(name: str) -> list[str]:
        own = ["--data", str(chosen.data), "--predictor", chosen.predictor, "--checkpoints", str(folder / name)]
        return [sys.executable, __file__, *own]

    process = subprocess.Popen(command("killed"), stdout=subprocess.PIPE)
    while not list((folder / "killed").glob("checkpoint-*/lmx_done.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = sorted(path.name for path in (folder / "killed").glob("checkpoint-*"))
    print(f"killed: exit code {process.returncode}, left {', '.join(left) or 'nothing'}")
    found = {}
    for name in ("killed", "unbroken"):
        done = subprocess.run(command(name), capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:9} {found[name]['seconds']:.0f} s, development errors {found[name]['errors']}", flush=True)
    pairs = (found["killed"]["predicted"], found["unbroken"]["predicted"])
    difference = max(abs(a - b) for a, b in zip(*pairs, strict=True))
    same = found["killed"]["errors"] == found["unbroken"]["errors"]
    print(f"errors equal: {same}; largest difference of {len(pairs[0])} predictions: {difference:g}")
    return None


if __name__ == "__main__":
    main()
