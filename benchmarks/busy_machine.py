"""Claim: beside four busy loops a run takes at most 4 times as long as alone, and alone at most 5 % longer than with
OpenMP's own way of waiting.

Each measurement is a fresh process that decodes 8 prompts of 48 tokens greedily with SmolLM2-135M (fp32, 8 rows); what
counts is the seconds of decoding, without start and load. Three ways to wait are compared, alone and beside the loops,
in turn: lmx's choice, OpenMP's default (set by hand, so that lmx leaves it alone), and one thread.

    python benchmarks/busy_machine.py [--rounds 3] [--loops 4] [--model smollm2-135m]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

DECODE = """
import json, sys, time
import lm_eval  # as `lm_eval` and `lmx run` do: from here on threads are chosen
from lmx_plugins import threads
from lmx_models.methods.ar import AutoregressiveLM
from benchmarks.common import requests
lm = AutoregressiveLM(pretrained=sys.argv[1], device="cpu", dtype="float32", batch_size=8)
todo = requests(lm, "constraint50", 8, do_sample=False, max_gen_toks=int(sys.argv[2]), until=[])
lm.generate_until(todo[:1], disable_tqdm=True)
started = time.perf_counter()
lm.generate_until(todo, disable_tqdm=True)
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "chosen": threads.chosen()}))
"""
WAYS = {
    "lmx": {},
    "default": {"GOMP_SPINCOUNT": "300000"},  # what libgomp spins where nothing is set
    "one_thread": {"OMP_NUM_THREADS": "1"},
}
NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def decode(model: str, tokens: int, variables: dict[str, str]) -> dict[str, object]:
    """Return the seconds of decoding in a fresh process, and what it chose."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | variables
    command = [sys.executable, "-c", DECODE, model, str(tokens)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loops", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48)
    options = parser.parse_args()
    from benchmarks.common import machine, report

    facts = machine()
    seconds: dict[str, dict[str, list[float]]] = {way: {"alone": [], "busy": []} for way in WAYS}
    chosen: dict[str, object] = {}
    for _ in range(options.rounds):
        for place in ("alone", "busy"):
            loops = [
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(options.loops if place == "busy" else 0)
            ]
            try:
                time.sleep(1)
                for way, variables in WAYS.items():
                    measured = decode(options.model, options.tokens, variables)
                    seconds[way][place].append(float(str(measured["seconds"])))
                    chosen[f"{way}, {place}"] = measured["chosen"]
            finally:
                for loop in loops:
                    loop.kill()
                    loop.wait()
    median = {
        way: {place: round(statistics.median(v), 2) for place, v in places.items()} for way, places in seconds.items()
    }
    report(
        "busy_machine",
        {
            "machine": facts,
            "model": options.model,
            "loops": options.loops,
            "seconds": {w: {p: [round(x, 2) for x in v] for p, v in places.items()} for w, places in seconds.items()},
            "median": median,
            "chosen": chosen,
            "busy_to_alone": round(median["lmx"]["busy"] / median["lmx"]["alone"], 2),
            "alone_to_default": round(median["lmx"]["alone"] / median["default"]["alone"], 3),
            "claim": "busy_to_alone <= 4 with 4 loops; alone_to_default <= 1.05",
        },
    )


if __name__ == "__main__":
    main()
