"""How a run drew its tokens, as far as its files tell, and where two runs drew them differently."""

from __future__ import annotations

from typing import Any

from lmx_files.runs.folders import Run

NAMES = ("temperature", "top_k", "top_p", "min_p")
OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
# lm_eval's model types that call transformers' `generate`, which fills what a request leaves open.
GENERATE = ("hf", "hf-auto", "huggingface")
FROM_MODEL = {"top_k": "the model's, else 50", "top_p": "the model's, else 1", "min_p": "the model's, else off"}
Sampler = dict[str, Any]


def sampler_of(run: Run, task: str) -> Sampler | None:
    """Return how the texts of a task were drawn: ``{"temperature": 0}`` if greedily; None where nobody knows.

    For lmx's models it is what they recorded, of a hybrid the node that wrote the answer; for lm_eval's ``hf`` what the
    task asked for, the rest being the model's affair.
    """
    by_task = run.decoding.get("settings_by_task")
    settings = by_task.get(task) if isinstance(by_task, dict) else None
    if isinstance(settings, dict):
        nodes = settings.get("nodes")
        if isinstance(nodes, dict) and nodes and isinstance(last := list(nodes.values())[-1], dict):
            settings = last
        found = {name: settings.get(name, OFF.get(name)) for name in NAMES}
    elif run.model in GENERATE:
        asked = (run.results.get("configs", {}).get(task) or {}).get("generation_kwargs")
        asked = asked if isinstance(asked, dict) else {}
        greedy = asked.get("do_sample") is False
        found = {"temperature": 0.0 if greedy else asked.get("temperature", 0.0)}
        found |= {name: asked.get(name, default) for name, default in FROM_MODEL.items()}
    else:
        return None
    return found if found["temperature"] else {"temperature": 0.0}


def differences(reference: Run, run: Run, task: str) -> list[str]:
    """Return one line if the texts of a task were drawn differently, which no difference of the models explains."""
    a, b = sampler_of(reference, task), sampler_of(run, task)
    if a is None or b is None or a == b:
        return []
    names = [name for name in NAMES if a.get(name) != b.get(name)]
    return [f"sampled with {_words(a, names)} in the reference, {_words(b, names)} here"]


def _words(sampler: Sampler, names: list[str]) -> str:
    if not sampler["temperature"]:
        return "temperature=0 (greedy)"
    return ", ".join(f"{name}={_word(sampler[name])}" for name in names)


def _word(value: Any) -> str:
    return f"({value})" if isinstance(value, str) else f"{value:g}" if isinstance(value, (int, float)) else str(value)
