"""From a name to a finished model folder: train, measure on held-out prompts, save with its record."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from lmx_models.tiny.evaluate import evaluate
from lmx_models.tiny.tokenizer import build_tokenizer
from lmx_models.tiny.train import FAMILY, train

SHIPPED = Path(__file__).resolve().parent
RECORD = "training.json"


def make(
    name: str,
    out: Path,
    seed: int = 0,
    steps: int | None = None,
    threads: int = 1,
    report: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> dict[str, Any]:
    """Train the member `name`, write `out/name`, and return its record (the content of `training.json`).

    The record holds the settings, versions, final losses (nats per answer token), seconds of training
    and the scores on the shipped evaluation prompts, in the chat format and as raw text.
    """
    spec = FAMILY[name]
    torch.set_num_threads(threads)
    tokenizer = build_tokenizer()
    model, losses, seconds = train(spec, tokenizer, seed, steps, report)
    record = {
        "name": name,
        "seed": seed,
        "steps": steps or spec.steps,
        "spec": asdict(spec),
        "parameters": sum(p.numel() for p in model.parameters()),
        "final_losses": {kind: round(value, 4) for kind, value in losses.items()},
        "seconds": round(seconds, 1),
        "threads": threads,
        "machine": platform.machine(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "scores": {
            "chat": evaluate(model, tokenizer),
            "raw": evaluate(model, tokenizer, chat=False),
        },
    }
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)
    return record
