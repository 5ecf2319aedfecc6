"""What gives samples their values in `lmx rescore`: a task's own scoring, or metrics that a user names."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.runs.folders import Run
from lmx_plugins.discovery import all_task_folders
from lmx_plugins.evaluation.asked import neutral_metrics
from lmx_runs.rescore.pipeline import scored_by_pipeline
from lmx_runs.rescore.texts import values_without_guesses

Metric = Callable[[dict[str, Any], str], Any]
"""A user's metric: (document, text) -> a number, or numbers by name."""
OWN_METRICS = ("overlap", "structure", "termination")
LONGEST = 200
"""Characters of somebody else's error that are shown."""
MOST_RESAMPLES = 100_000
"""Of the bootstrap of a standard error; lm_eval's own default."""


class OwnScoring:
    """A task's own `process_results` and aggregation, as they are now."""

    adds = False

    def __init__(self, task: Any, run: Run) -> None:
        self.task, self.run = task, run
        self.kept: dict[str, None] = {}
        self.iterations = min(run.results.get("config", {}).get("bootstrap_iters") or 0, MOST_RESAMPLES)
        config = task.dump_config()
        logged = run.results.get("configs", {}).get(task.task_name, {}).get("metadata")
        config["metadata"] = {**(logged if isinstance(logged, dict) else {}), **(config.get("metadata") or {})}
        recorded = ("process_results", "metric_list", "metadata")
        self.settings = {
            "versions": task.VERSION,
            "higher_is_better": {**task.higher_is_better(), **dict.fromkeys(neutral_metrics(config))},
            "configs": {name: config[name] for name in recorded if name in config},
        }

    def score(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
        """Return what the task makes of one sample."""
        return values_without_guesses(
            lambda given: self._processed(sample, given), responses, self.run.metrics_of(sample), self.kept
        )

    def _processed(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
        try:
            if hasattr(self.task, "scorers"):
                values = scored_by_pipeline(self.task, sample, responses)
            else:
                values = self.task.process_results(sample["doc"], responses)
        except UserError:
            raise
        except Exception as error:
            where = f"the scoring of {self.task.task_name} failed on document {sample['doc_id']}"
            raise UserError(f"{where}: {_in_a_line(error)}") from error
        return dict(values)

    def aggregate(self, metric: str, values: list[Any]) -> tuple[Any, float | str]:
        """Aggregate as lm_eval does, with its bootstrap for the standard errors that need one."""
        from lm_eval.api.metrics import mean, stderr_for_metric

        functions = self.task.aggregation()
        within = metric.partition("(")[2].removesuffix(")")  # 0.5 names "pass@1(exact_match)" by what it is made of
        function = functions.get(metric) or functions.get(within, mean)
        few = metric in ("bleu", "chrf", "chrf++", "ter")  # lm_eval draws fewer times for these slow ones
        stderr = stderr_for_metric(function, min(self.iterations, 100) if few else self.iterations)
        try:
            return function(values), stderr(values) if stderr and len(values) > 1 else "N/A"
        except Exception as error:
            raise UserError(f"{metric} of {self.task.task_name} cannot be aggregated: {_in_a_line(error)}") from error


class Added:
    """Metrics of a user, on top of those that were logged; over several texts of a document their mean."""

    adds = True
    settings: Mapping[str, Any] = {}

    def __init__(
        self, functions: Mapping[str, Callable[[dict[str, Any], str], Mapping[str, float]]], kept: dict[str, None]
    ) -> None:
        self.functions, self.kept = functions, kept

    def score(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
        """Return the values of all added metrics for one sample."""
        return values_without_guesses(lambda given: self._averaged(sample, given), responses, {}, self.kept)

    def _averaged(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, float]:
        from lmx_metrics.aggregation import average

        if not responses or responses[0] == []:
            raise UserError(f"document {sample['doc_id']} has no text that was logged (filtered_resps is empty)")
        texts = responses[0] if isinstance(responses[0], list) else responses[:1]
        if not all(isinstance(text, str) for text in texts):
            raise UserError("--metrics score texts, and this task logged likelihoods: leave --metrics out")
        values: dict[str, float] = {}
        for function in self.functions.values():
            values |= average([function(sample, text) for text in texts])
        return values

    def aggregate(self, metric: str, values: list[Any]) -> tuple[Any, float | str]:
        """Return mean and standard error."""
        from lmx_analysis.rescore import mean_and_stderr

        return mean_and_stderr(values)


def find_metric(name: str) -> Callable[[dict[str, Any], str], Mapping[str, float]]:
    """Return a metric by its name as a function of a sample and a text, with its values checked."""
    function, short = _find(name)

    def checked(sample: dict[str, Any], text: str) -> Mapping[str, float]:
        try:
            value = function(sample, text)
        except Exception as error:
            where = f"document {sample['doc_id']}"
            raise UserError(f"--metrics {name} failed on {where}: {_in_a_line(error)}") from error
        values = value if isinstance(value, Mapping) else {short: value}
        for key, number in values.items():
            if not isinstance(number, numbers.Real):
                raise UserError(f"--metrics {name}: {key} is {number!r}, not a number, on document {sample['doc_id']}")
        return {str(key): float(number) for key, number in values.items()}

    return checked


def _find(name: str) -> tuple[Metric, str]:
    import importlib
    import os
    import sys

    if ":" in name:
        module, _, attribute = name.partition(":")
        sys.path.insert(0, os.getcwd())  # a module beside the user, as with `python -m`
        try:
            function = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"--metrics {name!r} cannot be imported ({error}): name it module:function") from error
        finally:
            sys.path.remove(os.getcwd())
        if not callable(function):
            raise UserError(f"--metrics {name!r} is not a function: it must take (doc, text) and return a number")
        return lambda sample, text: function(sample["doc"], text), attribute
    if name == "overlap":
        from lmx_metrics import overlap

        return lambda sample, text: overlap.score(text, _references(sample)), name
    if name in OWN_METRICS:
        score = importlib.import_module(f"lmx_metrics.{name}").score
        return lambda sample, text: score(text), name
    import lm_eval.api.metrics  # noqa: F401  # fills the registry
    from lm_eval.api.registry import get_metric, metric_registry

    if name not in metric_registry:
        raise unknown("metric", name, [*OWN_METRICS, *metric_registry], "Or name a function of yours: module:function")
    registered = get_metric(name)
    return lambda sample, text: registered(references=[sample["target"]], predictions=[text]), name


def _references(sample: dict[str, Any]) -> list[str]:
    """Return the texts that a sample may be compared with: its document's `references`, else its target."""
    given = sample["doc"].get("references", sample.get("target"))
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError("its target is no text, and it has no 'references' to compare with")
    return texts


def own_scoring(run: Run, task: str, include_path: Path | None, unsafe: bool) -> OwnScoring:
    """Load a task on top of its logged documents, so that no data set is needed, and return its scoring.

    Raises:
        UserError: there is no such task, it cannot be loaded, or it runs code of a model, which `unsafe` allows.
    """
    import logging

    from datasets import Dataset
    from lm_eval.tasks import TaskManager

    doc = next((sample.get("doc") for sample in run.samples(task)), None)
    if not isinstance(doc, dict):
        raise UserError(f"{run.sample_files[task]}: it holds no document to load the task on")
    settings = {
        "custom_dataset": lambda **_: {"test": Dataset.from_list([doc])},
        "test_split": "test",
        "num_fewshot": 0,
        **dict.fromkeys(
            ("dataset_path", "dataset_kwargs", "process_docs", "training_split", "validation_split", "fewshot_split",
             "fewshot_config")
        ),
    }  # fmt: skip
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # its advice is for runs
    include = None if include_path is None else str(include_path)
    plugins = [str(folder) for _, folder in all_task_folders()]
    manager = TaskManager(include_path=[*plugins, *([include] if include else [])], include_defaults=False)
    if task not in manager.all_tasks:
        manager = TaskManager(include_path=include)
    if task not in manager.all_tasks:
        raise _no_task(task, manager.all_subtasks, include_path)
    index = getattr(manager, "task_index", None) or manager._index  # the latter in 0.5
    entry = index[task]
    # Looked at before the task is loaded, for that imports its functions, which may try out running code.
    _gate(task, (getattr(entry, "cfg", None) or {}).get("unsafe_code", False) is not False, unsafe)
    try:
        # 0.5 calls it rescored::TASK here.
        (loaded,) = manager.load({"group": "rescored", "task": [{"task": task, **settings}]})["tasks"].values()
    except Exception as error:
        raise UserError(f"the task {task} cannot be loaded on its logged documents ({_in_a_line(error)})") from error
    _gate(task, getattr(loaded, "UNSAFE_CODE", False), unsafe)
    return OwnScoring(loaded, run)


def _gate(task: str, marked: bool, unsafe: bool) -> None:
    if marked and not unsafe:
        raise UserError(
            f"the scoring of {task} runs code that a model wrote (unsafe_code): give --confirm_run_unsafe_code if that "
            "may run here, or choose other --tasks"
        )


def _no_task(task: str, known: Iterable[str], include_path: Path | None) -> UserError:
    near = difflib.get_close_matches(task, list(known), n=3)
    like = f" (like it: {', '.join(near)})" if near else ""
    where = "or a plugin's" if include_path is None else f"or a plugin's, nor in --include-path {include_path}"
    return UserError(
        f"no task {task!r} is lm_eval's {where}{like}: name the folder of its YAML with --include-path, or score the "
        "texts with --metrics"
    )


def _in_a_line(error: Exception) -> str:
    """Return what went wrong in somebody else's code, in one line that is not endless."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
