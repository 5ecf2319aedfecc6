"""What WeDLM's parallel decoding costs in accuracy and brings in speed, against plain autoregression.

Two measurements:

1. A trained model on its own tasks: accuracy, tokens per forward and time for several thresholds tau, and with
   ``verify=ar``, whose texts must be those of ``--model ar``. All arms run on the same weights, greedy.
2. ``--random-8b``: a Qwen3 of 8B shape with random weights, for speed alone. Random weights fill masks by chance, so
   the two ends are measured: one token a forward, and the whole window in each. `break_even` is the number of tokens
   per forward at which such forwards are as fast as plain autoregression.

    python benchmarks/decoding/wedlm_vs_ar.py [--model tiny-wedlm] [--limit 100] [--batch 1,8]
    python benchmarks/decoding/wedlm_vs_ar.py --random-8b --device cuda --dtype bfloat16 --attn sdpa --batch 1,32
    python benchmarks/decoding/wedlm_vs_ar.py --random-8b --layers 2 --hidden 256 --batch 1,4 --tokens 32   # anywhere
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import machine, report
from lmx_models.core.base import Decoding
from lmx_models.core.sampling import Sampling, stream
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, wedlm
from lmx_models.engine import flash_attention
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.slot_attention import attend_by
from lmx_models.engine.step_model import StepModel

TASKS = {"category_counting_tiny": "accuracy", "constraint_tiny": "solved"}
TAUS = (None, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PROMPT, VOCABULARY, MASK = 256, 151936, 151665
Start = Callable[[list[int], Stopping], Decoding]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-wedlm")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--batch", default="1,8", help="rows of a forward, several with commas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--attn", default="auto", choices=flash_attention.CHOICES)
    parser.add_argument("--window", type=int, help="default: the model's own, with --random-8b that of the method")
    parser.add_argument("--random-8b", action="store_true")
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--tokens", type=int, default=256, help="tokens of an answer, with --random-8b")
    options = parser.parse_args()
    facts = machine()
    rows = [int(number) for number in options.batch.split(",")]
    measure = random_weights if options.random_8b else trained
    table = [line for batch in rows for line in measure(options, batch)]
    name = "wedlm_vs_ar_random_8b" if options.random_8b else "wedlm_vs_ar"
    report(name, {"machine": facts, "options": vars(options), "table": table})
    show(table)


def trained(options: argparse.Namespace, batch: int) -> list[dict[str, Any]]:
    """Run all arms over the tasks with `batch` rows."""
    from lmx_models.methods.ar import AutoregressiveLM
    from lmx_models.methods.wedlm import WeDLM

    common = {"pretrained": options.model, "device": options.device, "dtype": options.dtype, "batch_size": batch}
    arms: dict[str, Callable[[], Any]] = {"ar": lambda: AutoregressiveLM(**common)}
    ours = {**common, "attn": options.attn, **({"window": options.window} if options.window else {})}
    for tau in TAUS:
        arms[f"wedlm tau={tau}"] = lambda tau=tau: WeDLM(tau=tau, **ours)
    arms["wedlm verify=ar"] = lambda: WeDLM(verify="ar", **ours)
    table, texts, speed = [], {}, {}
    for name, load in arms.items():
        scores, texts[name], statistics, cpu_seconds = evaluate(load(), options.limit)
        speed[name] = statistics["tokens_per_second"]
        table.append(
            {
                "arm": name,
                "batch": batch,
                **scores,
                "same_text_as_ar": sum(a == b for a, b in zip(texts[name], texts["ar"], strict=True)),
                "texts": len(texts[name]),
                "tokens_per_forward": round(statistics["tokens_per_forward"], 2),
                "dropped": round(statistics["tokens_dropped"] / statistics["tokens_kept"], 2),
                "seconds": round(statistics["seconds"], 2),
                "cpu_seconds": round(cpu_seconds, 2),
                "speed_to_ar": round(speed[name] / speed["ar"], 2),
            }
        )
    return table


def evaluate(lm: Any, limit: int) -> tuple[dict[str, float], list[str], dict[str, Any], float]:
    """Return the scores, texts, decoding statistics and seconds of CPU of `lm` on the first prompts of each task.

    On a machine that is busy with other work the seconds of CPU say more than those of the clock.
    """
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    import lmx_tasks

    write, cpu_seconds = lm.generate_until, 0.0

    def timed(*args: Any, **kwargs: Any) -> list[str]:
        nonlocal cpu_seconds
        started = time.process_time()
        texts: list[str] = write(*args, **kwargs)
        cpu_seconds += time.process_time() - started
        return texts

    lm.generate_until = timed
    manager = TaskManager(include_defaults=False, include_path=str(Path(lmx_tasks.__file__).parent))
    results = simple_evaluate(
        lm, tasks=list(TASKS), task_manager=manager, limit=limit, apply_chat_template=True, bootstrap_iters=0
    )
    scores = {f"{task} {metric}": results["results"][task][f"{metric},none"] for task, metric in TASKS.items()}
    texts = [str(sample["resps"][0][0]) for task in TASKS for sample in results["samples"][task]]
    return scores, texts, lm.get_model_info()["decoding"], cpu_seconds


@torch.inference_mode()
def random_weights(options: argparse.Namespace, batch: int) -> list[dict[str, Any]]:
    """Time the decoders on a model with random weights and `batch` rows, a text a row.

    The time of a forward is that of the second half of the tokens, so that the prefill is not in it.
    """
    model = build(options)
    attn = flash_attention.choose(options.attn, torch.device(options.device), model.dtype)
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, VOCABULARY, (batch, PROMPT), generator=generator).tolist()

    def run(start: Start, tokens: int) -> tuple[float, int]:
        stopping = Stopping(tokens, frozenset(), (), lambda tokens: "")
        step = StepModel(model, batch, PROMPT + tokens)
        if attn == "flash":
            attend_by(step.cache, flash_attention.rows_varlen)
        jobs = [Job(i, lambda prompt=prompt: start(prompt, stopping)) for i, prompt in enumerate(prompts)]
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        finished = list(Scheduler({"m": step}, batch).run(jobs))
        return time.perf_counter() - started, finished[0].cost["m"].forwards

    def diffusion(tau: float | None) -> Start:
        config = WeDLMConfig(window=options.window or WeDLMConfig.window, tau=tau, distance=0.0)
        return lambda prompt, stopping: wedlm(prompt, "m", MASK, config, Sampling(), stopping, stream(0))

    arms: dict[str, Start] = {
        "ar": lambda prompt, stopping: autoregressive(prompt, "m", Sampling(), stopping, stream(0)),
        "wedlm, one token a forward": diffusion(None),
        "wedlm, a window a forward": diffusion(float("inf")),
    }
    table: list[dict[str, Any]] = []
    for name, start in arms.items():
        run(start, options.tokens // 2)  # warm up
        half, fewer = run(start, options.tokens // 2)
        seconds, forwards = run(start, options.tokens)
        each = 1000 * (seconds - half) / (forwards - fewer)
        table.append(
            {
                "arm": name,
                "attn": attn,
                "batch": batch,
                "forwards": forwards,
                "ms_per_forward": round(each, 2),
                "tokens_per_second": round(batch * options.tokens / seconds, 1),
                "break_even": round(each / table[0]["ms_per_forward"], 2) if table else 1.0,
            }
        )
    return table


def build(options: argparse.Namespace) -> Any:
    """Return a Qwen3 with random weights; by default of the shape of Qwen3-8B, which WeDLM-8B shares."""
    from transformers import AutoModelForCausalLM, Qwen3Config

    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=options.hidden,
        intermediate_size=3 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=max(1, options.hidden // 128),
        num_key_value_heads=max(1, options.hidden // 512),
        head_dim=128,
        max_position_embeddings=16384,
    )
    torch.manual_seed(0)
    with torch.device(options.device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, options.dtype)).eval()


def show(table: list[dict[str, Any]]) -> None:
    """Print the table in Markdown."""
    print("\n| " + " | ".join(table[0]) + " |\n|" + "---|" * len(table[0]))
    for line in table:
        print("| " + " | ".join(str(value) for value in line.values()) + " |")


if __name__ == "__main__":
    main()
