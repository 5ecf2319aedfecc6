"""A task of lm_eval over the prompts of the tiny models, and evaluations of it."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from tests.unit.models.test_decoder_lm import PROMPTS

NAME = "six_prompts"


def make_task(
    prompts: list[str] | None = None, repeats: int = 1, name: str = NAME, **gen_kwargs: Any
) -> ConfigurableTask:
    """Return a task whose documents are `prompts`."""
    rows = [{"number": i, "prompt": prompt} for i, prompt in enumerate(prompts or PROMPTS)]
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{prompt}}",
            "doc_to_target": "{{number}}",
            "repeats": repeats,
            "generation_kwargs": {"until": [], "max_gen_toks": 20, "do_sample": True, "temperature": 0.9, **gen_kwargs},
            "filter_list": [{"name": "all", "filter": [{"function": "take_first_k", "k": repeats}]}],
            "process_results": lambda doc, results: {"number": float(doc["number"])},
            "metric_list": [{"metric": "number", "aggregation": "mean", "higher_is_better": True}],
            "num_fewshot": 0,
        }
    )


def evaluate(lm: Any, task: ConfigurableTask, **arguments: Any) -> dict[str, Any]:
    """Return lm_eval's results and samples of one task."""
    import lm_eval.evaluator as evaluator

    found = evaluator.evaluate(lm, {"tasks": {task.config.task: task}}, bootstrap_iters=0, **arguments)
    assert found is not None
    return dict(found)
