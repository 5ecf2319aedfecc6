"""Claims for guided decoding at batch 8 (c=20, k=10, 256 tokens), with two separate sets of weights:

1. at least 5 times as fast as the obvious implementation, which for each text calls ``transformers.generate`` on the
   re-tokenized text at every switch, one text after the other (`--lockstep` times a batched variant of it too);
2. at most 1.2 times the time in which its own base tokens and oracle tokens are decoded alone, by the same engine at
   the same batch, without any switching.

    python benchmarks/guided_vs_reprefill.py [--base smollm2-135m --oracle smollm2-135m] [--prompts 16]

Where only one model can be had it is loaded twice, so that nothing is shared. Texts run to 256 tokens (end-of-text is
not obeyed), so that every implementation does the same amount of work.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.common import machine, model_folder, report, requests
from lmx_models.core.base import Decoding
from lmx_models.core.sampling import Sampling, stream
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import PolicyConfig, RampSpaced
from lmx_models.engine.scheduler import Finished, Job, Scheduler
from lmx_models.engine.step_model import StepModel
from lmx_models.methods.ar import AutoregressiveLM

STEP, K, C, LENGTH, ROWS = 10, 10, 20, 256, 8
SAMPLING = Sampling(temperature=0.7, top_p=0.95)


def timed(
    models: dict[str, Any], decoders: list[Callable[[], Decoding]], in_flight: int, slots: int
) -> tuple[float, list[Finished]]:
    """Run decoders at batch 8 and return the seconds (allocation included) and the finished texts."""
    started = time.perf_counter()
    steps = {name: StepModel(model, in_flight, slots) for name, model in models.items()}
    scheduler = Scheduler(steps, ROWS, in_flight)
    finished = list(scheduler.run(Job(i, start) for i, start in enumerate(decoders)))
    return time.perf_counter() - started, sorted(finished, key=lambda one: int(str(one.key)))


def shares(finished: list[Finished]) -> dict[str, list[int]]:
    """Return how many tokens of each text came from each model."""
    share = {name: [0] * len(finished) for name in ("base", "oracle")}
    for i, one in enumerate(finished):
        for segment in one.generation.segments:
            share[segment.source][i] += segment.end - segment.start
    return share


def generate(model: Any, tokenizer: Any, texts: list[str], tokens: int, sample: bool) -> list[str]:
    """Tokenize whole texts again, prefill them again, and return them with `tokens` more."""
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    how = {"do_sample": True, "temperature": 0.7, "top_p": 0.95, "top_k": 0} if sample else {"do_sample": False}
    ids = model.generate(
        **batch, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=tokenizer.pad_token_id, **how
    )
    new = ids[:, batch["input_ids"].shape[1] :]
    return [text + piece for text, piece in zip(texts, tokenizer.batch_decode(new), strict=True)]


def reprefill(base: Any, oracle: Any, tokenizer: Any, prompts: list[str]) -> tuple[float, int]:
    """The obvious implementation over a group of texts (one text: the published way). Return seconds and tokens."""
    started = time.perf_counter()
    texts, written = list(prompts), [0] * len(prompts)
    budget = [C] * len(prompts)
    rng = random.Random(0)
    while any(n < LENGTH for n in written):
        live = [i for i, n in enumerate(written) if n < LENGTH]
        asking = [i for i in live if budget[i] and rng.random() < 0.3 + 0.7 * written[i] / LENGTH]
        for group, model, n, sample in ((asking, oracle, K, False), (live, base, STEP, True)):
            group = [i for i in group if written[i] < LENGTH]
            if group:
                for i, text in zip(
                    group, generate(model, tokenizer, [texts[i] for i in group], n, sample), strict=True
                ):
                    texts[i] = text
                    written[i] += n
        for i in asking:
            budget[i] -= 1
    return time.perf_counter() - started, sum(written)


# long: one measurement after another, and what is reported of each
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--oracle", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--peer-prompts", type=int, default=4, help="texts for the one-at-a-time peer, the slow one")
    parser.add_argument("--rounds", type=int, default=3, help="times that claim 2 is measured; its median counts")
    parser.add_argument("--lockstep", action="store_true", help="time the batched peer too (minutes)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    facts = machine()

    def load(name: str) -> Any:
        dtype = getattr(torch, options.dtype)
        return AutoModelForCausalLM.from_pretrained(model_folder(name), dtype=dtype).to(options.device).eval()

    base, oracle = load(options.base), load(options.oracle)
    tokenizer = AutoTokenizer.from_pretrained(model_folder(options.base), padding_side="left")
    lm = AutoregressiveLM(pretrained=options.base, device=options.device, dtype=options.dtype)
    prompts = [request.args[0] for request in requests(lm, "constraint50", options.prompts)]
    del lm
    ids = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]

    def stop(limit: int) -> Stopping:
        return Stopping(limit, frozenset(), (), lambda tokens: str(tokenizer.decode(list(tokens))))

    def guide(i: int) -> Decoding:
        policy = RampSpaced(PolicyConfig(step_size=STEP))
        config = GuidedConfig(c=C, k=K)
        return guided(ids[i], config, policy, SAMPLING, stop(LENGTH), stream(i), stream(i, "policy"))

    def alone(name: str, i: int, tokens: int, sampling: Sampling) -> Decoding:
        return autoregressive(ids[i], name, sampling, stop(tokens), stream(i))

    both = {"base": base, "oracle": oracle}
    slots = max(map(len, ids)) + LENGTH
    timed(both, [lambda: guide(0)], 2, slots)  # warm up
    n = len(ids)
    rounds = []
    for _ in range(options.rounds):
        seconds, finished = timed(both, [lambda i=i: guide(i) for i in range(n)], 2 * ROWS, slots)
        share = shares(finished)
        alone_seconds = {}
        for name, sampling in (("base", SAMPLING), ("oracle", Sampling())):
            texts = [i for i in range(n) if share[name][i]]
            decoders = [functools.partial(alone, name, i, share[name][i], sampling) for i in texts]
            alone_seconds[name], _ = timed({name: both[name]}, decoders, ROWS, slots)
        rounds.append((seconds / sum(alone_seconds.values()), seconds, alone_seconds))
    tokens = sum(len(one.generation.tokens) for one in finished)
    ratio, seconds, alone_seconds = sorted(rounds, key=lambda one: one[0])[len(rounds) // 2]

    torch.manual_seed(0)
    sequential = [reprefill(base, oracle, tokenizer, [prompt]) for prompt in prompts[: options.peer_prompts]]
    sequential_speed = sum(t for _, t in sequential) / sum(s for s, _ in sequential)
    speed = tokens / seconds
    lockstep: dict[str, float] = {}
    if options.lockstep:
        slow, written = reprefill(base, oracle, tokenizer, prompts[:ROWS])
        lockstep = {"tokens_per_second": round(written / slow, 1), "ratio": round(speed * slow / written, 2)}
    report(
        "guided_vs_reprefill",
        {
            "machine": facts,
            "base": options.base,
            "oracle": options.oracle + (" (loaded a second time)" if options.oracle == options.base else ""),
            "dtype": options.dtype,
            "rows": ROWS,
            "prompts": {"guided": n, "one at a time": len(sequential)},
            "prompt_tokens_mean": round(sum(map(len, ids)) / n, 1),
            "tokens": tokens,
            "oracle_share": round(sum(share["oracle"]) / tokens, 3),
            "seconds": {"guided": round(seconds, 1), **{f"{k} alone": round(v, 1) for k, v in alone_seconds.items()}},
            "tokens_per_second": {
                "guided": round(speed, 1),
                "reprefill, one text at a time": round(sequential_speed, 1),
            },
            "ratio_to_reprefill": round(speed / sequential_speed, 2),
            "reprefill in lock-step batches of 8": lockstep or "not run (--lockstep)",
            "ratio_to_alone": round(ratio, 3),
            "ratio_to_alone, each round": [round(one[0], 3) for one in rounds],
            "claims": "ratio_to_reprefill >= 5, ratio_to_alone <= 1.2",
        },
    )


if __name__ == "__main__":
    main()
