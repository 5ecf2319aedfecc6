"""What the parallel unmasking of ``mdlm`` and ``bd3lm`` costs in accuracy and brings in speed, against autoregression.

Trained models on their own tasks, greedy: accuracy, tokens per forward and time for several thresholds. The peer is an
autoregressive model of the same family: neither of the two can write text from left to right with its own weights.

    python benchmarks/decoding/unmasking_vs_ar.py [--mdlm tiny-mdlm --bd3lm tiny-bd3lm --ar tiny-oracle] [--limit 100]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from wedlm_vs_ar import evaluate, show

from benchmarks.common import machine, report
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM

THRESHOLDS = (1.0, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mdlm", default="tiny-mdlm")
    parser.add_argument("--bd3lm", default="tiny-bd3lm")
    parser.add_argument("--ar", default="tiny-oracle")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8, help="rows of a forward")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    facts = machine()
    common = {"device": options.device, "dtype": options.dtype, "batch_size": options.batch}
    arms: dict[str, Callable[[], Any]] = {"ar": partial(AutoregressiveLM, pretrained=options.ar, **common)}
    for method, lm in (("bd3lm", BlockDiffusionLM), ("mdlm", MaskedDiffusionLM)):
        for threshold in THRESHOLDS:
            settings = {"pretrained": getattr(options, method), "threshold": threshold, **common}
            arms[f"{method} threshold={threshold}"] = partial(lm, **settings)
    table: list[dict[str, Any]] = []
    speed_of_ar = 0.0
    for name, load in arms.items():
        scores, _, statistics, cpu_seconds = evaluate(load(), options.limit)
        speed = statistics["tokens_per_second"]
        speed_of_ar = speed_of_ar or speed  # the first arm
        table.append(
            {
                "arm": name,
                **scores,
                "tokens_per_forward": round(statistics["tokens_per_forward"], 2),
                "seconds": round(statistics["seconds"], 2),
                "cpu_seconds": round(cpu_seconds, 2),
                "speed_to_ar": round(speed / speed_of_ar, 2),
            }
        )
    report("unmasking_vs_ar", {"machine": facts, "options": vars(options), "table": table})
    show(table)


if __name__ == "__main__":
    main()
