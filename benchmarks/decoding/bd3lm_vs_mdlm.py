"""Claim: at answers of 256 tokens ``bd3lm`` takes less time per kept token than ``mdlm``.

Both fill as many tokens a forward: one (``steps`` unset), then four. mdlm feeds prompt and canvas at every forward,
bd3lm one block of 32. No end-of-text id is set, so that all texts have full length; how long a forward takes does not
depend on the weights, so the default is a random network of Qwen3's shape.

    python benchmarks/decoding/bd3lm_vs_mdlm.py [--hidden 256] [--layers 6] [--texts 4] [--rows 4] [--device cpu]
    python benchmarks/decoding/bd3lm_vs_mdlm.py --mdlm tiny-mdlm --bd3lm tiny-bd3lm
"""

from __future__ import annotations

import argparse
import random
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.common import machine, report
from lmx_models.core.sampling import Sampling, stream
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, block_diffusion
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.step_model import StepModel
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM

RANDOM = "random weights"
METHODS: dict[str, tuple[Any, Any, Any]] = {
    "mdlm": (masked_diffusion, MaskedDiffusionConfig, MaskedDiffusionLM),
    "bd3lm": (block_diffusion, BlockDiffusionConfig, BlockDiffusionLM),
}


def weights(name: str, method: str, options: argparse.Namespace) -> tuple[Any, Head]:
    """Return a model with the layout of its head."""
    if name != RANDOM:
        lm = METHODS[method][2](pretrained=name, device=options.device, dtype=options.dtype)
        return lm.model, lm.head
    torch.manual_seed(0)
    heads = options.hidden // 64
    config = Qwen3Config(
        hidden_size=options.hidden,
        intermediate_size=3 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=2 * heads,
        num_key_value_heads=heads,
        head_dim=64,
        vocab_size=options.vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    model = Qwen3ForCausalLM(config).to(device=options.device, dtype=getattr(torch, options.dtype))
    return model.eval(), Head(0)


def measure(method: str, model: Any, head: Head, steps: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Write all texts; return seconds, tokens and forwards."""
    decode, config, _ = METHODS[method]
    size = model.get_input_embeddings().num_embeddings
    stopping = Stopping(options.length, frozenset(), (), lambda tokens: "")

    def job(i: int, settings: Any, limit: Stopping) -> Job:
        prompt = random.Random(i).choices(range(1, size), k=options.prompt)
        return Job(i, lambda: decode(prompt, settings, Sampling(), limit, stream(i), head))

    def run(settings: Any, texts: int, limit: Stopping) -> list[Any]:
        rows = min(options.rows, texts)
        scheduler = Scheduler({method: StepModel(model, rows, options.prompt + options.length)}, rows)
        return list(scheduler.run(job(i, settings, limit) for i in range(texts)))

    run(config(), 1, Stopping(2, frozenset(), (), stopping.decode))  # warm up
    done = run(config(steps=steps), options.texts, stopping)
    costs = [one.cost[method] for one in done]
    kept = sum(len(one.generation.tokens) for one in done)
    seconds = sum(cost.seconds_prefill + cost.seconds_decode for cost in costs)
    return {
        "kept_tokens": kept,
        "milliseconds_per_kept_token": round(1000 * seconds / kept, 3),
        "forwards_per_text": costs[0].forwards,
        "fed_per_kept": round(sum(cost.prefill + cost.decode for cost in costs) / kept, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mdlm", default=RANDOM)
    parser.add_argument("--bd3lm", default=RANDOM)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--texts", type=int, default=4)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    facts = machine()
    models = {method: weights(getattr(options, method), method, options) for method in METHODS}
    results: dict[str, Any] = {}
    for filled, steps in (("one token a forward", None), ("four tokens a forward", options.length // 4)):
        measured = {method: measure(method, *models[method], steps, options) for method in METHODS}
        times = [measured[method]["milliseconds_per_kept_token"] for method in METHODS]
        results[filled] = {**measured, "ratio": round(times[0] / times[1], 2)}
    report(
        "bd3lm_vs_mdlm" if options.mdlm == RANDOM else "bd3lm_vs_mdlm-trained",
        {"machine": facts, **vars(options), **results, "claim": "ratio > 1"},
    )


if __name__ == "__main__":
    main()
