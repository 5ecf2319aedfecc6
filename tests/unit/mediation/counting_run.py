"""A finished run of the counting task, as lm_eval leaves it, made without running a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmx_tasks.category_counting import generate

STAMP = "2026-01-02T03-04-05.000006"
TASK = "category_counting_tiny"


def write_run(
    folder: Path, items: list[dict[str, Any]] | int = 12, model: str = "tiny-oracle", task: str = TASK
) -> Path:
    """Write results and samples; the prompts are those of the tiny family's chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(items, int):
        made = [item for item in generate.generate(4 * items + 40, 7) if len(item.words) <= 8][:items]
        items = [
            {name: getattr(item, name) for name in ("prompt", "category", "position", "count", "length")}
            for item in made
        ]
    results = {
        "results": {task: {"alias": task, "accuracy,none": 1.0, "sample_len": len(items)}},
        "configs": {task: {"task": task}},
        "n-samples": {task: {"original": len(items), "effective": len(items)}},
        "config": {"model": "ar", "model_args": {"pretrained": model}},
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))
    lines = [
        {
            "doc_id": number,
            "doc": doc,
            "target": str(doc.get("count")),
            "arguments": {"gen_args_0": {"arg_0": f"<|user|>{doc.get('prompt')}<|eos|><|assistant|>", "arg_1": {}}},
            "resps": [[str(doc.get("count"))]],
            "filtered_resps": [str(doc.get("count"))],
            "filter": "none",
            "metrics": ["accuracy"],
            "accuracy": 1.0,
        }
        for number, doc in enumerate(items)
    ]
    (folder / f"samples_{task}_{STAMP}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
