"""What packing the linear layers once brings (fp32, CPU): milliseconds for all matrix products of one forward.

    python benchmarks/decoding/packed_linear.py [--model smollm2-135m]

The peer is PyTorch's own ``nn.Linear``; both run the same weights on the same inputs in one run, best of five.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext

import torch
from transformers import AutoModelForCausalLM

from benchmarks.common import machine, model_folder, report
from lmx_models.engine.packed_linear import PackedLinears


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    facts = machine()
    model = AutoModelForCausalLM.from_pretrained(model_folder(options.model), dtype=torch.float32).eval()
    layers = [module for module in model.modules() if type(module) is torch.nn.Linear]
    packed = PackedLinears(model)
    table = {}
    with torch.inference_mode():
        for rows in (1, 4, 8, 16, 64, 400):
            inputs = {n: torch.randn(rows, n) for n in {layer.in_features for layer in layers}}
            row = {}
            for name, context in (("plain", nullcontext), ("packed", packed.active)):
                times = []
                for _ in range(6):
                    with context():
                        started = time.perf_counter()
                        for layer in layers:
                            layer(inputs[layer.in_features])
                        times.append(time.perf_counter() - started)
                row[name] = round(min(times[1:]) * 1e3, 1)
            table[rows] = row | {"ratio": round(row["plain"] / row["packed"], 2)}
    report("packed_linear", {"machine": facts, "model": options.model, "milliseconds_by_rows": table})


if __name__ == "__main__":
    main()
