"""Activation patching on one grid: lmx against TransformerLens 4.3.0 and nnsight 0.8.1, each in its own environment.

    python -m venv envs/tl && envs/tl/bin/pip install transformer-lens==4.3.0
    python -m venv envs/nn && envs/nn/bin/pip install nnsight==0.8.1 transformers
    python benchmarks/mediation_vs_peers.py --transformer-lens envs/tl/bin/python --nnsight envs/nn/bin/python
    python benchmarks/mediation_vs_peers.py --quick ...    # every 7th layer, 4 pairs, 4 cells of the peers

Residual stream, all layers x 8 positions x 32 pairs of 256 tokens, SmolLM2-135M in fp32, two placements of the
positions. The peers run one whole forward a layer and position, with all pairs as its batch (their own recipes); they
recompute every position and layer of every patched run. nnsight is told to compute the logits of the last token only;
TransformerLens has no such setting. lmx batches patched runs of any pair and position of a layer as rows, from the
patched position on and from the next layer up. All see the same tokens; effects must agree to 1e-4. The time is that of
the runs that are patched from and into, and of all patched runs; loading is left out.

A peer's forward costs the same at every layer and position, so by default peers run `--cells` of the 240 layers and
positions, spread over both, and their time is scaled by the number of forwards (`all cells`); lmx always runs all.
`times lmx` compares these; `processor` is the same of processor time, which other work on the machine hardly moves.
`--cells 240` runs the peers' whole grid too, which takes hours.
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
    parser.add_argument(
        "--cells", type=int, default=6, help="layers and positions that a peer runs; its time is scaled"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="every 7th layer, 4 pairs")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "JOB"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(*args.worker)
    if args.quick:
        args.pairs, args.every, args.cells = 4, 7, 4
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
    names = ("cells run", "seconds", "all cells", "times lmx", "processor", "peak MiB")
    print(f"{'':18}{''.join(f'{each:>11}' for each in names)}{'largest difference':>20}")
    cells = [(layer, place) for layer in range(0, layers, args.every) for place in range(len(positions))]
    some = [cells[int((k + 0.5) * len(cells) / args.cells)] for k in range(min(args.cells, len(cells)))]
    effects: dict[tuple[int, int], Any] = {}
    ours = np.ones(2)
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "job.npz"
        for library, python in pythons.items():
            chosen = cells if library == "lmx" else some
            np.savez(
                job, base=base, source=source, positions=positions, cells=chosen, folder=np.array(folder),
                threads=np.array(args.threads),
            )  # fmt: skip
            done = subprocess.run([python, __file__, "--worker", library, str(job)], capture_output=True, text=True)
            if done.returncode:
                print(f"{library:18} failed: {done.stderr.strip().splitlines()[-1:]}")
                continue
            told = json.loads(done.stdout.strip().splitlines()[-1])
            found = dict(zip(chosen, map(np.array, told["effects"]), strict=True))
            effects = effects or found
            difference = max(float(np.abs(found[cell] - effects[cell]).max()) for cell in chosen)
            # the peers' two unpatched forwards are counted once, as all others are
            scale = (len(cells) + 2) / (len(chosen) + 2)
            whole = np.array([told["seconds"], told["processor"]]) * scale
            ours = whole if library == "lmx" else ours
            times = whole / ours
            verdict = "" if difference <= TOLERANCE else "  DIFFERS"
            print(
                f"{library:18}{len(chosen):11}{told['seconds']:11.1f}{whole[0]:11.1f}{times[0]:11.2f}{times[1]:11.2f}"
                f"{told['peak_mib']:11.0f}{difference:20.1e}{verdict}",
                flush=True,
            )


def work(library: str, job: str) -> None:
    """Run one library in this process and print its effects ``[cells, pairs]``, time and memory."""
    import torch

    given = dict(np.load(job))
    torch.set_num_threads(int(given["threads"]))
    base, source = (torch.tensor(given[name]) for name in ("base", "source"))
    runner = {"lmx": of_lmx, "transformer_lens": of_transformer_lens, "nnsight": of_nnsight}[library]
    positions = given["positions"].tolist()
    cells = [(layer, positions[place]) for layer, place in given["cells"].tolist()]
    with torch.no_grad():
        patch = runner(str(given["folder"]))
        patch(base[:1], source[:1], [(0, LENGTH - 1)])  # warm up
        started, worked = time.perf_counter(), time.process_time()
        metric = patch(base, source, cells)
        seconds, processor = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "peak_mib": peak, "effects": metric}))


def of_lmx(folder: str) -> Any:
    import torch
    import transformers

    from lmx_probes.patching.memory import keep_freed_memory
    from lmx_probes.patching.patch import Patcher, patch_from

    keep_freed_memory()  # as `lmx mediate` does
    patcher = Patcher(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())

    def patch(base: Any, source: Any, cells: list[tuple[int, int]]) -> Any:
        found = np.zeros((len(cells), len(base)))
        for first in range(0, len(base), 4):  # pairs whose runs are held at once
            some = range(first, min(first + 4, len(base)))
            bases = patcher.capture([base[i].tolist() for i in some])
            sources = patcher.capture([source[i].tolist() for i in some], bases=bases)
            rows = [(k, i - first) for k in range(len(cells)) for i in some]
            patches = [
                patch_from(patcher.sites, bases[i], sources[i], "residual", cells[k][0], (cells[k][1],))
                for k, i in rows
            ]
            logits = patcher.run(patches, columns=torch.tensor(TOKENS))
            plain = torch.stack([bases[i].logits[list(TOKENS)] for _, i in rows])
            moved = (logits - plain)[:, 1] - (logits - plain)[:, 0]
            for (k, i), value in zip(rows, moved.tolist(), strict=True):
                found[k, first + i] = value
        return found.tolist()

    return patch


def of_transformer_lens(folder: str) -> Any:
    import torch
    import transformers
    from transformer_lens.model_bridge import TransformerBridge

    hf = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = TransformerBridge.boot_transformers(folder, hf_model=hf, tokenizer=tokenizer, dtype=torch.float32)

    def patch(base: Any, source: Any, cells: list[tuple[int, int]]) -> Any:
        names = {f"blocks.{layer}.hook_out" for layer, _ in cells}
        _, cache = model.run_with_cache(source, names_filter=lambda name: name in names)
        plain = metric_of(model(base))
        found = []
        for layer, position in cells:
            name = f"blocks.{layer}.hook_out"

            def put(value: Any, hook: Any, name: str = name, position: int = position) -> Any:
                value[:, position] = cache[name][:, position]
                return value

            found.append((metric_of(model.run_with_hooks(base, fwd_hooks=[(name, put)])) - plain).tolist())
        return found

    return patch


def of_nnsight(folder: str) -> Any:
    import torch
    import transformers
    from nnsight import NNsight

    model = NNsight(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())

    def patch(base: Any, source: Any, cells: list[tuple[int, int]]) -> Any:
        kept = {}
        with model.trace(source, logits_to_keep=1, use_cache=False):
            for layer in sorted({layer for layer, _ in cells}):
                kept[layer] = model.model.layers[layer].output.save()
        with model.trace(base, logits_to_keep=1, use_cache=False):
            logits = model.lm_head.output.save()
        plain = metric_of(logits)
        found = []
        for layer, position in cells:
            with model.trace(base, logits_to_keep=1, use_cache=False):
                model.model.layers[layer].output[:, position] = kept[layer][:, position]
                logits = model.lm_head.output.save()
            found.append((metric_of(logits) - plain).tolist())
        return found

    return patch


def metric_of(logits: Any) -> Any:
    return logits[:, -1, TOKENS[1]] - logits[:, -1, TOKENS[0]]


if __name__ == "__main__":
    main()
