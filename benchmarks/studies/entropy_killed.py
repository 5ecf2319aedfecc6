"""A long measurement of `lmx entropy`, killed with SIGKILL at random moments and started again: are the bytes the same?

Made texts (words of the shipped vocabulary) are read by two shipped models and compared token by token. A child process
measures them once undisturbed; then another is killed so many times, each time some random moment after it began to
work, and goes on until it is done. Everything is imported once and each child is a fork, so that an attempt is work and
not imports. Prints the tokens scored by each model, their rate, peak memory, and the comparison.

    python benchmarks/studies/entropy_killed.py [--tokens 1000000] [--kills 10]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

torch.set_num_threads(1)  # a fork of a process with threads would wait for them
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from lmx_files import parquet  # noqa: E402
from lmx_probes.entropy import measurement, workspace  # noqa: E402
from lmx_probes.entropy.inputs import Inputs, Item  # noqa: E402
from lmx_probes.models import tokenizer_of  # noqa: E402

WORDS, NAMES = 190, ("tiny-base", "tiny-oracle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="scored by each model, about")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", type=int, help="scored tokens of a part; else as the command has it")
    parser.add_argument("--folder", type=Path, help="where to work; else a temporary folder")
    options = parser.parse_args()
    if options.part:
        workspace.PART_TOKENS = options.part
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        found = killed(Path(place), texts(options.tokens), options.kills, options.seed)
    print(json.dumps(found, indent=2))
    if not found["same_bytes"] or found["kills"] < options.kills:
        sys.exit("the bytes differ, or the child ended before it was killed often enough")


def texts(tokens: int) -> Inputs:
    """Return made texts that have about so many tokens together."""
    vocabulary = tokenizer_of(NAMES[0])
    words = sorted({word for i in range(300, 1500) if (word := vocabulary.decode([i]).strip()).isalpha()})
    draw = random.Random(7)
    drawn = [" " + " ".join(draw.choices(words, k=WORDS)) for _ in range(max(2, tokens // WORDS))]
    return Inputs([Item("A list of words:", text, "made", i) for i, text in enumerate(drawn)])


def start(folder: Path, given: Inputs) -> int:
    """Fork a child that measures; it leaves its peak memory beside its folder."""
    child = os.fork()
    if not child:
        status = 1
        try:
            measurement.entropy(given, measurement.Options(NAMES, NAMES, folder, device="cpu"), "stamp")
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            folder.with_suffix(".peak").write_text(str(round(peak)))
            status = 0
        finally:
            os._exit(status)
    return child


def wait(child: int, seconds: float | None = None) -> bool:
    """Wait for a child to end; False if it has not after so long."""
    until = time.perf_counter() + (seconds if seconds is not None else 1e9)
    while time.perf_counter() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status) != 0:
                raise SystemExit("an attempt failed by itself")
            return True
        time.sleep(0.005)
    return False


def killed(folder: Path, given: Inputs, kills: int, seed: int) -> dict[str, Any]:
    """Measure undisturbed, then with kills; return what was found."""
    started = time.perf_counter()
    child = start(folder / "whole", given)
    ended = False
    while not ended and parts_in(folder / "whole") < 2:  # one is of texts, before a model is loaded
        ended = wait(child, 0.01)
    first = time.perf_counter() - started
    if not ended:
        wait(child)
    seconds = time.perf_counter() - started
    draw, count, parts = random.Random(seed), 0, []
    while count < kills:
        child = start(folder / "killed", given)
        if wait(child, first * draw.uniform(0.5, 1.5) + draw.uniform(0, 1.6) * (seconds - first) / kills):
            break  # it was done before
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        count += 1
        parts.append(parts_in(folder / "killed"))
    wait(start(folder / "killed", given))
    rows = sum(len(part) for part in parquet.parts(folder / "whole" / "data" / "tokens" / NAMES[0], ["text"]))
    whole = digest(folder / "whole")
    return {
        "tokens_scored_by_each_of_two_models": rows,
        "tokens_per_second_with_both_models_and_pairs": round(rows / seconds),
        "peak_mb": int((folder / "whole.peak").read_text()),
        "files": len(whole),
        "parts_done_at_each_kill": parts,
        "kills": count,
        "same_bytes": whole == digest(folder / "killed"),
    }


def parts_in(folder: Path) -> int:
    """Return how many parts are finished."""
    return len(list(folder.rglob("part-*.parquet")))


def digest(folder: Path) -> dict[str, str]:
    """Return a hash of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main()
