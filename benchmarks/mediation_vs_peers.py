"""Activation patching on one grid: lmx against TransformerLens 4.3.0 and nnsight 0.8.1, each in its own environment.

    python -m venv envs/tl && envs/tl/bin/pip install transformer-lens==4.3.0
    python -m venv envs/nn && envs/nn/bin/pip install nnsight==0.8.1 transformers
    python benchmarks/mediation_vs_peers.py --transformer-lens envs/tl/bin/python --nnsight envs/nn/bin/python
    python benchmarks/mediation_vs_peers.py --quick ...    # a sample of layers and few pairs

Residual stream, all layers x 8 positions x 32 pairs of 256 tokens, SmolLM2-135M in fp32, two placements of the
positions. The peers run one whole forward a layer and position, with all pairs as its batch (their own recipes); they
recompute every position and layer of every patched run. lmx batches patched runs of any pair and position of a layer as
rows, from the patched position on and from the next layer up. All see the same tokens; effects must agree to 1e-4.
The time is that of the runs that are patched from and into, and of all patched runs; loading is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LENGTH, POSITIONS = 256, 8
TOKENS = (1000, 2000)
"""The metric is the difference of these two tokens' logits."""
PLACES = {
    "evenly": ([(k + 1) * LENGTH // POSITIONS - 1 for k in range(POSITIONS)], 4),
    "last quarter": ([LENGTH - LENGTH // 4 + (k + 1) * 8 - 1 for k in range(POSITIONS)], LENGTH - LENGTH // 4 + 1),
}
TOLERANCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transformer-lens", help="a Python with transformer-lens")
    parser.add_argument("--nnsight", help="a Python with nnsight")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--every", type=int, default=1, help="every n-th layer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="every 7th layer, 4 pairs")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "JOB"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(*args.worker)
    if args.quick:
        args.pairs, args.every = 4, 7
    from lmx_models.zoo import catalogue

    folder = catalogue.resolve(args.model).pretrained
    pythons = {"lmx": sys.executable, "transformer_lens": args.transformer_lens, "nnsight": args.nnsight}
    for name, (positions, swapped) in PLACES.items():
        compare(name, folder, positions, swapped, args, {k: v for k, v in pythons.items() if v})
    return None


def compare(name: str, folder: str, positions: list[int], swapped: int, args: Any, pythons: dict[str, str]) -> None:
    """Run every library on one job and print its time, memory and difference from lmx."""
    layers = int(json.loads((Path(folder) / "config.json").read_text())["num_hidden_layers"])
    rng = np.random.default_rng(0)
    base = rng.integers(100, 40_000, (args.pairs, LENGTH))
    source = base.copy()
    source[:, swapped] = rng.integers(100, 40_000, args.pairs)
    print(f"\npositions {name}: {positions}, word exchanged at {swapped}, {args.pairs} pairs, {args.threads} threads")
    print(f"{'':18}{'seconds':>10}{'patched runs/s':>16}{'peak MiB':>10}{'largest difference':>20}")
    effects: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "job.npz"
        chosen = list(range(0, layers, args.every))
        np.savez(
            job, base=base, source=source, positions=positions, layers=chosen, folder=np.array(folder),
            threads=np.array(args.threads),
        )  # fmt: skip
        for library, python in pythons.items():
            command = [python, __file__, "--worker", library, str(job)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{library:18} failed: {done.stderr.strip().splitlines()[-1:]}")
                continue
            told = json.loads(done.stdout.strip().splitlines()[-1])
            effects[library] = np.array(told["effects"])
            difference = float(np.abs(effects[library] - effects["lmx"]).max())
            verdict = "" if difference <= TOLERANCE else "  DIFFERS"
            rate = effects[library].size / told["seconds"]
            print(f"{library:18}{told['seconds']:10.1f}{rate:16.2f}{told['peak_mib']:10.0f}{difference:20.1e}{verdict}")


def work(library: str, job: str) -> None:
    """Run one library in this process and print its effects ``[layers, positions, pairs]``, time and memory."""
    import torch

    given = dict(np.load(job))
    torch.set_num_threads(int(given["threads"]))
    base, source = (torch.tensor(given[name]) for name in ("base", "source"))
    runner = {"lmx": of_lmx, "transformer_lens": of_transformer_lens, "nnsight": of_nnsight}[library]
    with torch.no_grad():
        patch = runner(str(given["folder"]))
        patch(base[:1], source[:1], [0], [LENGTH - 1])  # warm up
        started = time.perf_counter()
        metric = patch(base, source, given["layers"].tolist(), given["positions"].tolist())
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "effects": metric}))


def of_lmx(folder: str) -> Any:
    import torch
    import transformers

    from lmx_probes.patching.patch import Patcher, patch_from

    patcher = Patcher(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())

    def patch(base: Any, source: Any, layers: list[int], positions: list[int]) -> Any:
        found = np.zeros((len(layers), len(positions), len(base)))
        for first in range(0, len(base), 4):  # pairs whose runs are held at once
            some = range(first, min(first + 4, len(base)))
            runs = patcher.capture([text[i].tolist() for i in some for text in (base, source)])
            cells = [(k, p, i) for k in range(len(layers)) for p in range(len(positions)) for i in some]
            patches = [
                patch_from(
                    patcher.sites, runs[2 * (i - first)], runs[2 * (i - first) + 1], "residual", layers[k],
                    (positions[p],),
                )
                for k, p, i in cells
            ]  # fmt: skip
            logits = patcher.run(patches, columns=torch.tensor(TOKENS))
            plain = torch.stack([runs[2 * (i - first)].logits[list(TOKENS)] for _, _, i in cells])
            moved = (logits - plain)[:, 1] - (logits - plain)[:, 0]
            for cell, value in zip(cells, moved.tolist(), strict=True):
                found[cell] = value
        return found.tolist()

    return patch


def of_transformer_lens(folder: str) -> Any:
    import torch
    import transformers
    from transformer_lens.model_bridge import TransformerBridge

    hf = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = TransformerBridge.boot_transformers(folder, hf_model=hf, tokenizer=tokenizer, dtype=torch.float32)

    def patch(base: Any, source: Any, layers: list[int], positions: list[int]) -> Any:
        names = [f"blocks.{layer}.hook_out" for layer in layers]
        _, cache = model.run_with_cache(source, names_filter=lambda name: name in names)
        plain = metric_of(model(base))
        found = []
        for name in names:
            row = []
            for position in positions:

                def put(value: Any, hook: Any, name: str = name, position: int = position) -> Any:
                    value[:, position] = cache[name][:, position]
                    return value

                row.append((metric_of(model.run_with_hooks(base, fwd_hooks=[(name, put)])) - plain).tolist())
            found.append(row)
        return found

    return patch


def of_nnsight(folder: str) -> Any:
    import torch
    import transformers
    from nnsight import NNsight

    model = NNsight(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())

    def patch(base: Any, source: Any, layers: list[int], positions: list[int]) -> Any:
        kept = {}
        with model.trace(source, logits_to_keep=1, use_cache=False):
            for layer in layers:
                kept[layer] = model.model.layers[layer].output.save()
        with model.trace(base, logits_to_keep=1, use_cache=False):
            logits = model.lm_head.output.save()
        plain = metric_of(logits)
        found = []
        for layer in layers:
            row = []
            for position in positions:
                with model.trace(base, logits_to_keep=1, use_cache=False):
                    model.model.layers[layer].output[:, position] = kept[layer][:, position]
                    logits = model.lm_head.output.save()
                row.append((metric_of(logits) - plain).tolist())
            found.append(row)
        return found

    return patch


def metric_of(logits: Any) -> Any:
    return logits[:, -1, TOKENS[1]] - logits[:, -1, TOKENS[0]]


if __name__ == "__main__":
    main()
