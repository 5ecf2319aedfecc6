"""Runs `lmx run` again and again, killing it at random times, and says what each attempt did.

    python tests/e2e/kill_driver.py KILLS SEED OUTPUT [flags of lmx run]

Everything is imported once and each attempt is a fork, so that an attempt is work and not imports; every forward is
slowed a little, so that there is time for the kills on any machine. Prints a JSON list: for each attempt whether it was
killed, which documents it started, and which the journal held before and after.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

torch.set_num_threads(1)

import lm_eval.evaluator  # noqa: E402
import lm_eval.loggers  # noqa: E402
import lm_eval.models.huggingface  # noqa: F401, E402

from lmx_models.engine.step_model import StepModel  # noqa: E402
from lmx_models.methods.ar import AutoregressiveLM  # noqa: E402
from lmx_runs.run import run  # noqa: E402

# Seconds: about what an attempt needs until it writes, and most that it is then given; how much a forward is slowed.
STARTUP, WORK, SLOWER = 1.2, 1.0, 0.008


def journaled(folder: Path) -> list[int]:
    """Return the documents that the journal holds whole."""
    found = []
    for path in folder.glob("journal-*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"}\n"):
                value = json.loads(line)["value"]
                if "doc_id" in value:
                    found.append(value["doc_id"])
    return sorted(found)


def attempt(arguments: list[str], starts: Path, kill_after: float | None) -> bool:
    """Fork one `lmx run`; return whether it was killed."""
    child = os.fork()
    if not child:
        original, step = AutoregressiveLM.decode, StepModel.step
        file = os.open(starts, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

        def decode(self, request):
            os.write(file, f"{request.seeds[2]}\n".encode())
            return original(self, request)

        def slow_step(self, feeds):
            time.sleep(SLOWER)
            return step(self, feeds)

        AutoregressiveLM.decode, StepModel.step = decode, slow_step
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        if kill_after is not None:
            os.dup2(null, 2)
        status = 70
        try:
            status = run(arguments)
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, f"an attempt failed with {os.WEXITSTATUS(status)}"
    return False


def main() -> None:
    kills, seed, output, *arguments = sys.argv[1:]
    rng = random.Random(int(seed))
    folder = Path(output)
    folder.parent.mkdir(parents=True, exist_ok=True)
    arguments += ["--output_path", output]
    attempts = []
    while True:
        starts = folder.parent / f"starts-{len(attempts)}"
        before = journaled(folder / "journal")
        done = sum(one["killed"] for one in attempts) >= int(kills)
        killed = attempt(arguments, starts, None if done else rng.uniform(0, STARTUP + WORK))
        started = sorted(map(int, starts.read_text().split())) if starts.exists() else []
        after = journaled(folder / "journal")
        attempts.append({"killed": killed, "started": started, "before": before, "after": after})
        if not killed:
            break
    print(json.dumps(attempts))


if __name__ == "__main__":
    main()
