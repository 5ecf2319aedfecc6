"""Claim: ``--model ar`` writes at least 1.5 times as many tokens per second as lm_eval's ``hf``.

Same 50 prompts, weights, dtype (fp32), threads and batch rows, greedy, lengths as they fall. At temperature 0 both must
write the same text, which is checked, so the token counts are the same and the ratio of times is the ratio of speeds.

    python benchmarks/ar_vs_hflm.py [--model smollm2-135m] [--limit 50] [--rows 8] [--device cpu]
"""

from __future__ import annotations

import argparse
import time

import torch
from lm_eval.models.huggingface import HFLM

from benchmarks.common import machine, model_folder, report, requests
from lmx_models.methods.ar import AutoregressiveLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--task", default="constraint50")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    facts = machine()

    arguments = {"device": options.device, "dtype": options.dtype, "batch_size": options.rows}
    peer = HFLM(pretrained=model_folder(options.model), **arguments)
    ours = AutoregressiveLM(pretrained=options.model, **arguments)
    todo = requests(ours, options.task, options.limit, do_sample=False, temperature=0.0)

    seconds, texts = {}, {}
    for name, lm in (("ar", ours), ("hf", peer)):
        lm.generate_until(todo[:2], disable_tqdm=True)  # warm up
        started = time.perf_counter()
        texts[name] = lm.generate_until(todo, disable_tqdm=False)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds[name] = time.perf_counter() - started
    tokens = sum(text.trace.kept for text in texts["ar"])
    same = sum(a == b for a, b in zip(texts["ar"], texts["hf"], strict=True))
    report(
        "ar_vs_hflm",
        {
            "machine": facts,
            "model": options.model,
            "dtype": options.dtype,
            "rows": options.rows,
            "prompts": len(todo),
            "kept_tokens": tokens,
            "same_text": f"{same} of {len(todo)}",
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "tokens_per_second": {name: round(tokens / value, 1) for name, value in seconds.items()},
            "ratio": round(seconds["hf"] / seconds["ar"], 2),
            "claim": "ratio >= 1.5",
        },
    )


if __name__ == "__main__":
    main()
