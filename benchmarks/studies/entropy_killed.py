"""A long measurement of `lmx entropy`, killed with SIGKILL at random moments and started again: are the bytes the same?

Made texts (words of the shipped vocabulary) are read by two shipped models and compared token by token. A child process
measures them once undisturbed; then another is killed so many times, each time some random moment after it began to
work, and goes on until it is done. Prints the tokens scored by each model, their rate, peak memory, and the comparison.

    python benchmarks/studies/entropy_killed.py [--tokens 1000000] [--kills 10]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
WORDS, READY = 190, "measuring"
"""Words of a text, and what a child prints when it begins to measure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="scored by each model, about")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; else a temporary folder")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.tokens)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        found = killed(Path(place), options.tokens, options.kills, options.seed)
    print(json.dumps(found, indent=2))
    if not found["same_bytes"] or found["kills"] < options.kills:
        sys.exit("the bytes differ, or the child ended before it was killed often enough")


def worker(folder: Path, tokens: int) -> None:
    """Measure; print when the work begins, and what it took when it ends."""
    from lmx_files import parquet
    from lmx_probes.entropy import measurement
    from lmx_probes.entropy.inputs import Inputs, Item
    from lmx_probes.models import tokenizer_of

    names = ("tiny-base", "tiny-oracle")
    vocabulary = tokenizer_of(names[0])
    words = sorted({word for i in range(300, 1500) if (word := vocabulary.decode([i]).strip()).isalpha()})
    draw = random.Random(7)
    items = [Item("A list of words:", " " + " ".join(draw.choices(words, k=WORDS)), "made", i)
             for i in range(max(2, tokens // WORDS))]  # fmt: skip
    options = measurement.Options(names, names, folder, device="cpu")
    print(READY, flush=True)
    started = time.perf_counter()
    measurement.entropy(Inputs(items), options, "stamp")
    rows = sum(len(part) for part in parquet.parts(folder / "data" / "tokens" / names[0], ["text"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started, "peak_mb": round(peak)}), flush=True)


def start(folder: Path, tokens: int) -> tuple[subprocess.Popen[str], Any]:
    """Start a child and wait until it begins to measure."""
    command = [sys.executable, __file__, "--tokens", str(tokens), "--worker", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    if child.stdout.readline().strip() != READY:
        raise SystemExit("the child did not begin")
    return child, child.stdout


def killed(folder: Path, tokens: int, kills: int, seed: int) -> dict[str, Any]:
    """Measure undisturbed, then with kills; return what was found."""
    child, out = start(folder / "whole", tokens)
    whole = json.loads(out.read())
    child.wait()
    draw, count = random.Random(seed), 0
    while count < kills:
        child, out = start(folder / "killed", tokens)
        try:
            child.wait(draw.uniform(0, 1.2 * whole["seconds"] / kills))
            break  # it was done before
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            count += 1
    parts = len(list((folder / "killed").rglob("part-*.parquet")))
    child, out = start(folder / "killed", tokens)
    out.read()
    if child.wait():
        raise SystemExit("the last attempt failed")
    same = digest(folder / "whole") == digest(folder / "killed")
    return {
        "tokens_scored_by_each_of_two_models": whole["rows"],
        "tokens_per_second_with_both_models_and_pairs": round(whole["rows"] / whole["seconds"]),
        "peak_mb": whole["peak_mb"], "files": len(digest(folder / "whole")),
        "parts_done_at_the_last_kill": parts, "kills": count, "same_bytes": same,
    }  # fmt: skip


def digest(folder: Path) -> dict[str, str]:
    """Return a hash of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main()
