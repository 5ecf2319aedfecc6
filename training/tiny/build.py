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
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lmx_models.zoo import catalogue
from training.tiny.evaluate import CAREFUL, decoding_settings, evaluate
from training.tiny.spec import FAMILY, Spec
from training.tiny.tokenizer import build_tokenizer
from training.tiny.train import train

SHIPPED = catalogue.TINY
RECORD = "training.json"


def start_folder(spec: Spec, out: Path) -> Path | None:
    """Return the folder of the member that `spec` goes on from: in `out`, or the shipped one; None if there is none."""
    if spec.start is None:
        return None
    return next(root / spec.start for root in (out, SHIPPED) if (root / spec.start / "config.json").is_file())


def make(
    name: str,
    out: Path,
    seed: int = 0,
    steps: int | None = None,
    threads: int | None = None,
    report: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> dict[str, Any]:
    """Train the member `name`, write `out/name`, and return its record (the content of `training.json`).

    A member that goes on from another starts from `out`'s, or from the shipped one where `out` has none. `steps` and
    `threads` are the member's own unless given.
    """
    spec = FAMILY[name]
    threads = threads or spec.threads
    torch.set_num_threads(threads)
    tokenizer = build_tokenizer()
    start = start_folder(spec, out)
    model, losses, seconds = train(spec, tokenizer, seed, steps, report, start)
    record = describe(spec, model, tokenizer, losses, seconds) | {
        "seed": seed,
        "steps": steps or spec.steps,
        "threads": threads,
    }
    save(model, tokenizer, record, out / name)
    return record


def describe(
    spec: Spec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    losses: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    """Return a member's record: settings, versions, final losses (nats per answer token), seconds of training.

    The scores are those on the shipped evaluation prompts: in the chat format, as raw text, and, of a diffusion model,
    in the chat format with the careful settings.
    """
    scores = {"chat": evaluate(model, tokenizer), "raw": evaluate(model, tokenizer, chat=False)}
    if spec.objective in CAREFUL:
        scores["careful"] = evaluate(model, tokenizer, careful=True)
    return {
        "name": spec.name,
        "spec": asdict(spec),
        "parameters": sum(p.numel() for p in model.parameters()),
        "final_losses": {kind: round(value, 4) for kind, value in losses.items()},
        "seconds": round(seconds, 1),
        "machine": platform.machine(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "decoding": decoding_settings(model),
        "scores": scores,
    }


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, record: dict[str, Any], folder: Path) -> None:
    """Write a model folder with its record."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    # Answering in batches leaves padding switched on, and it would be saved.
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)


def table(root: Path) -> str:
    """Return the members in `root` as a Markdown table of their records: sections but for the counting accuracy."""
    head = ("model", "class", "parameters", "decoding", "counting: accuracy", "sections: all_strict", "on topic")
    rows = [(*head, "solved", "tokens per forward", "seconds of training"), ("---",) * 10]
    for name, spec in FAMILY.items():
        if (root / name / RECORD).is_file():
            record = json.loads((root / name / RECORD).read_text(encoding="utf-8"))
            settings = dict(record["decoding"])
            method = settings.pop("method")
            for kind, changes in (("chat", {}), ("careful", CAREFUL.get(method, {}))):
                if kind not in record["scores"]:
                    continue
                how = ", ".join(f"{key}={value}" for key, value in {**settings, **changes}.items())
                counted, planned = (record["scores"][kind][task] for task in ("category_counting", "constraint_tiny"))
                rows.append((
                    f"`{name}`", spec.shape.capitalize(), f"{record['parameters']:,}", f"{method} {how}".strip(),
                    f"{counted['accuracy']:.3f}", f"{planned['all_strict']:.2f}", f"{planned['on_topic']:.2f}",
                    f"{planned['solved']:.2f}", f"{planned['tokens_per_forward']:.2f}", f"{record['seconds']:.0f}",
                ))  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
