"""Claim: `lmx run --model scripted --tasks constraint50` takes under 4 s from shell to table on two cores.

Plain `lm_eval` with the same arguments is timed beside it, in turn, so that both see the same machine.

    python benchmarks/run_start.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.common import machine, report

ARGUMENTS = ["--model", "scripted", "--tasks", "constraint50", "--log_samples", "--output_path", "out"]
COMMANDS = {
    "lmx run": [sys.executable, "-m", "lmx_cli.main", "run", *ARGUMENTS],
    "lm_eval": [sys.executable, "-m", "lm_eval", "run", *ARGUMENTS],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds + 1):
            for name, command in COMMANDS.items():
                started = time.perf_counter()
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
                taken = time.perf_counter() - started
                if done.returncode or "|constraint50|" not in done.stdout.replace(" ", ""):
                    sys.exit(f"{name} printed no table:\n{done.stderr}")
                if turn:  # the first round fills the disk's cache
                    seconds[name].append(taken)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    report(
        "run_start",
        {
            "machine": machine(),
            "arguments": " ".join(ARGUMENTS),
            "seconds": {name: [round(one, 2) for one in taken] for name, taken in seconds.items()},
            "median": {name: round(one, 2) for name, one in median.items()},
            "ratio": round(median["lm_eval"] / median["lmx run"], 2),
            "claim": "median of lmx run < 4 s",
        },
    )


if __name__ == "__main__":
    main()
