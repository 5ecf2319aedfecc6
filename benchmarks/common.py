"""What every benchmark prints and needs: the machine, the versions, the prompts, the model."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from lmx_models.zoo import catalogue

PACKAGES = ("lmx-eval", "torch", "transformers", "lm-eval")


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge a speed."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    facts: dict[str, Any] = {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "load_before": [round(x, 2) for x in os.getloadavg()],
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def report(name: str, result: dict[str, Any]) -> None:
    """Print `result` and keep it in ``benchmarks/results/``."""
    print(json.dumps(result, indent=2))
    keep(name, result)


def keep(name: str, result: dict[str, Any]) -> None:
    """Keep `result` in ``benchmarks/results/``."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    card = result["machine"].get("gpu", "cpu").replace(" ", "-").lower()
    (folder / f"{name}-{card}.json").write_text(json.dumps(result, indent=2) + "\n")


def model_folder(name: str) -> str:
    """Return the local folder of a model, fetched if need be."""
    return catalogue.resolve(name).pretrained


def requests(lm: Any, task: str, limit: int | None, **gen_kwargs: Any) -> list[Any]:
    """Build a task's requests for `lm` as lm_eval would, with its chat template and one worked example."""
    from lm_eval.tasks import TaskManager

    import lmx_tasks

    manager = TaskManager(include_defaults=False, include_path=str(Path(lmx_tasks.__file__).parent))
    loaded = manager.load([task])["tasks"][task]
    loaded.set_config(key="num_fewshot", value=1)
    loaded.set_config(key="generation_kwargs", value=gen_kwargs, update=True)
    loaded.set_fewshot_seed(seed=1234)
    loaded.build_all_requests(
        limit=limit,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        chat_template=lm.apply_chat_template,
        tokenizer_name=lm.tokenizer_name,
    )
    return list(loaded.instances)
