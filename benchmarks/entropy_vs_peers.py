"""Scores given texts: lmx's reader, the published loop, minicons, and the bare packed forward, on the same texts.

What each computes: lmx: entropy, varentropy, surprisal, probability, rank, margins. The loop: entropy and probability,
one text and one token at a time, all positions through the head. minicons: surprisals (it has no entropy for causal
models). bare: hidden states and logits at the scored positions, nothing of them.

Two sets: `unrelated` texts, all of whose tokens are scored, and `shared`: two examples and a question before each text.
Every arm is a process of its own; rounds alternate between arms, and the best round counts.

    python benchmarks/entropy_vs_peers.py [--quick] [--minicons PYTHON]

minicons wants an environment of its own: python -m venv ENV && ENV/bin/pip install minicons; --minicons ENV/bin/python.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ARMS = ("lmx", "bare", "loop", "minicons")


def texts_of(kind: str, count: int) -> list[tuple[str, str]]:
    """Return pairs of context and scored text, cut from the project's own pages."""
    prose = " ".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
    if kind == "short":
        return [("", prose[i * 120 : i * 120 + 120].strip()) for i in range(count)]
    if kind == "long":
        return [("", prose[:14_000])] * count
    if kind == "unrelated":
        return [("", prose[i * 900 : i * 900 + 900].strip()) for i in range(count)]
    example = "Text: {}\nSummary: {}\n\n"
    shots = example.format(prose[:1400], prose[1400:1600]) + example.format(prose[1600:3000], prose[3000:3200])
    own = [prose[4000 + i * 300 : 4300 + i * 300].strip() for i in range(count)]
    return [(f"{shots}Text: {each[:120]}\nSummary:", f" {each[120:]}") for each in own]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="4 texts, one round")
    parser.add_argument("--minicons", help="the Python of an environment that has minicons")
    parser.add_argument("--memory", action="store_true", help="peak memory of lmx's reader alone")
    parser.add_argument("--worker", nargs=3, metavar=("ARM", "KIND", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.texts, options.rounds = 4, 1
    if options.worker:
        print(json.dumps(work(*options.worker, options.texts)))
        return
    sys.path.insert(0, str(ROOT))
    from benchmarks.common import machine, model_folder, report

    folder = model_folder(options.model)
    if options.memory:
        found = {f"{kind} {n}": run("lmx", kind, folder, n, None)["peak_mb"]
                 for kind, n in (("short", 10), ("short", 1000), ("long", 2))}  # fmt: skip
        found["model"] = run("load", "short", folder, 1, None)["peak_mb"]
        report("entropy_memory", {"machine": machine(), "model": options.model, "peak_mb": found})
        return
    arms = [arm for arm in ARMS if arm != "minicons" or options.minicons]
    speeds: dict[str, Any] = {}
    for kind in ("unrelated", "shared"):
        best: dict[str, dict[str, Any]] = {}
        for _ in range(options.rounds):
            for arm in arms:
                found = run(arm, kind, folder, options.texts, options.minicons)
                if arm not in best or found["seconds"] < best[arm]["seconds"]:
                    best[arm] = found
        ours = best["lmx"]["seconds"]
        speeds[kind] = {
            "arms": best,
            "times_faster_than": {
                arm: round(best[arm]["seconds"] / ours, 2) for arm in arms if arm not in ("lmx", "bare")
            },
            "times_bare": round(ours / best["bare"]["seconds"], 3),
            "largest_difference_of_surprisals": max(
                abs(best["lmx"]["sum"] - best[arm]["sum"]) / best["lmx"]["scored"] for arm in arms if best[arm]["sum"]
            ),
        }
    report("entropy_vs_peers", {"machine": machine(), "model": options.model, "texts": options.texts, **speeds})


def run(arm: str, kind: str, folder: str, texts: int, minicons: str | None) -> dict[str, Any]:
    """Run one arm in a process of its own."""
    python = minicons if arm == "minicons" and minicons else sys.executable
    command = [python, __file__, "--texts", str(texts), "--worker", arm, kind, folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{arm}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def work(arm: str, kind: str, folder: str, count: int) -> dict[str, Any]:
    """Load, warm up on one text, and time the texts."""
    if arm != "minicons":
        sys.path.insert(0, str(ROOT))
    pairs = texts_of(kind, count)
    one = {"lmx": _lmx, "bare": _bare, "loop": _loop, "minicons": _minicons, "load": _load_only}[arm](folder)
    one(pairs[:1])
    started = time.perf_counter()
    scored, total = one(pairs)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 3), "scored": scored, "scored_per_second": round(scored / seconds, 1),
            "sum": total, "peak_mb": round(peak)}  # fmt: skip


def _load_only(folder: str) -> Any:
    from lmx_probes import models

    models.load(folder, device="cpu")
    return lambda pairs: (1, 0.0)


def _encoded(tokenizer: Any, pairs: list[tuple[str, str]]) -> Any:
    from lmx_probes.entropy.encode import encode
    from lmx_probes.entropy.inputs import Item
    from lmx_probes.entropy.measure import Scored

    items = [Item(context, text, "", i) for i, (context, text) in enumerate(pairs)]
    return Scored(items, [encode(item, tokenizer) for item in items])


def _lmx(folder: str) -> Any:
    from lmx_probes import models, scores
    from lmx_probes.entropy.measure import read_part
    from lmx_probes.reader import Reader

    probe = models.load(folder, device="cpu")

    def one(pairs: list[tuple[str, str]]) -> tuple[int, float]:
        scored, total, count = _encoded(probe.tokenizer, pairs), 0.0, 0
        for part in scored.parts:
            found, _ = scores.score(probe.head, read_part(Reader(probe), scored, part), scored.targets(part))
            total += float(found["surprisal"].sum())
            count += len(found["surprisal"])
        return count, total

    return one


def _bare(folder: str) -> Any:
    from lmx_probes import models
    from lmx_probes.entropy.measure import read_part
    from lmx_probes.reader import Reader

    probe = models.load(folder, device="cpu")

    def one(pairs: list[tuple[str, str]]) -> tuple[int, float]:
        scored, count = _encoded(probe.tokenizer, pairs), 0
        for part in scored.parts:
            hidden = read_part(Reader(probe), scored, part)
            for chunk in probe.head.chunks(len(hidden)):
                probe.head.logits(hidden[chunk])
            count += len(hidden)
        return count, 0.0

    return one


def _loop(folder: str) -> Any:
    """As the published script: one text at a time, all positions through the head, a Python loop over tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def one(pairs: list[tuple[str, str]]) -> tuple[int, float]:
        scored, total, count = _encoded(tokenizer, pairs), 0.0, 0
        for each in scored.encoded:
            ids = torch.tensor([each.tokens])
            with torch.no_grad():
                logits = model(ids).logits[0]
            for i in range(each.start, len(each.tokens)):
                p = torch.softmax(logits[i - 1], dim=-1)
                entropy = -(p * torch.log(p + 1e-12)).sum().item()
                total -= float(torch.log(p[ids[0, i]]).item()) + 0.0 * entropy
                count += 1
        return count, total

    return one


def _minicons(folder: str) -> Any:
    from minicons import scorer

    model = scorer.IncrementalLMScorer(folder, "cpu")

    def one(pairs: list[tuple[str, str]]) -> tuple[int, float]:
        total, count = 0.0, 0
        for start in range(0, len(pairs), 8):
            batch = pairs[start : start + 8]
            if batch[0][0]:
                prefixes, texts = [context for context, _ in batch], [text for _, text in batch]
                found = model.conditional_score(
                    prefixes, texts, separator="", reduction=lambda x: (len(x), -x.sum().item())
                )
                total, count = total + sum(t for _, t in found), count + sum(n for n, _ in found)
            else:
                found = model.token_score([text for _, text in batch], bos_token=True, surprisal=True)
                values = [[value for _, value in each[1:]] for each in found]
                total, count = total + sum(map(sum, values)), count + sum(map(len, values))
        return count, total

    return one


if __name__ == "__main__":
    main()
