"""`lmx rescore`: new metrics on logged samples, without running a model."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmx_plugins.errors import UserError, unknown

if TYPE_CHECKING:
    from lmx_analysis.rescore import Rescored
    from lmx_analysis.runs import Run

Metric = Callable[[dict[str, Any], str], Any]
"""A user's metric: (document, text) -> a number, or numbers by name."""
OWN_METRICS = ("structure", "termination")


def rescore(
    run: Annotated[Path, typer.Argument(help="A results folder or results_*.json file, with logged samples.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the rescored run.")],
    tasks: Annotated[str | None, typer.Option(help="Only these tasks, with commas.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics to add, with commas: module:function taking (doc, text), structure, termination, or a name "
            "registered with lm_eval. Without it the task's own scoring is applied again."
        ),
    ] = None,
    include_path: Annotated[
        Path | None, typer.Option(help="Folder with the task's YAML, if it is neither lm_eval's nor a plugin's.")
    ] = None,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option(
            "--confirm_run_unsafe_code",
            help="Score by tasks that run what a model wrote (`unsafe_code: true`), as lm_eval's flag of this name.",
        ),
    ] = False,
) -> None:
    """Score the logged samples of a run again; the outcome is a run of its own, for `lmx compare` and others.

    Only what was logged is read: no model, no data set. Texts get their traces back where the run left a traces file.
    """
    import importlib.metadata

    from lmx_analysis import rescore as rescoring
    from lmx_analysis.runs import read_run
    from lmx_analysis.tables import sha256, write_files
    from lmx_plugins.guards import check_output_path

    source = read_run(run)
    _check_folder(output)
    check_output_path(output)
    chosen = _tasks(source, tasks)
    asked = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    if metrics is not None and not asked:
        raise UserError(f"--metrics {metrics!r} names nothing")
    scorers: dict[str, Any] = {}
    if asked:
        functions = {name: _metric(name) for name in asked}
        scorers = {task: _Added(functions) for task in chosen}
    else:
        scorers = {
            task: _OwnScoring(_load(source, task, include_path, confirm_run_unsafe_code), source) for task in chosen
        }
    responses = _Responses(source)
    origin = {
        "metrics": asked or "process_results of the task",
        "traces": {str(path): sha256(path) for path in source.trace_files()},
        **{name: importlib.metadata.version(name) for name in ("lmx-eval", "lm_eval")},
    }
    outcome = rescoring.rescore(source, scorers, responses.restore, origin)
    outcome.notes += responses.notes()
    write_files(output, outcome.files)
    _show(outcome, source)


def _check_folder(output: Path) -> None:
    from lmx_analysis.runs import find_runs

    if output.suffix == ".json" or output.is_file():
        raise UserError(f"-o {output} is a file: name a folder")
    if output.is_dir() and find_runs(output):
        raise UserError(f"-o {output} holds a run already: name a new folder, so that no two runs are mixed up")


def _tasks(run: Run, asked: str | None) -> list[str]:
    names = [name.strip() for name in (asked or "").split(",") if name.strip()] or list(run.sample_files)
    if not names:
        raise UserError(f"{run.file} has no samples beside it: run with --log_samples to be able to rescore")
    for name in names:
        if name not in run.sample_files:
            raise unknown("task", name, run.sample_files, "Tasks with logged samples are listed")
    return names


class _Responses:
    """Gives logged responses, which lm_eval writes as strings, their types and their traces back."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.traces = run.traces()
        self.texts = self.traced = 0

    def restore(self, task: str, sample: dict[str, Any]) -> list[Any]:
        """Return the responses of a sample as `process_results` is given them."""
        kind = self.run.results.get("configs", {}).get(task, {}).get("output_type", "generate_until")
        logged = sample["filtered_resps"]
        try:
            if kind in ("multiple_choice", "loglikelihood"):
                return [(float(nats), str(greedy) == "True") for nats, greedy in logged]
            if kind == "loglikelihood_rolling":
                return [float(nats) for nats in logged]
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.run.sample_files[task]}: document {sample['doc_id']}: {error}") from error
        lines = self.traces.get((task, int(sample["doc_id"]), str(sample["prompt_hash"])), [])
        return [
            [self._text(text, lines, number) for number, text in enumerate(each)]
            if isinstance(each, list)
            else self._text(each, lines, 0)
            for each in logged
        ]

    def notes(self) -> list[str]:
        """Say how many texts have a trace; without one, what metrics read from it is unknown."""
        if not self.texts or self.traced == self.texts:
            return []
        return [
            f"{self.texts - self.traced} of {self.texts} texts have no trace (there is no traces file, or a filter "
            "changed the text): metrics that read it, such as why a text ended, see it as unknown"
        ]

    def _text(self, text: str, lines: Sequence[Mapping[str, Any]], repeat: int) -> str:
        self.texts += 1
        if repeat >= len(lines) or lines[repeat].get("text") != text:
            return text
        from lmx_models.completion import Completion
        from lmx_models.decoding.trace import Trace

        self.traced += 1
        return Completion(text, Trace.from_dict(lines[repeat]["trace"]))


class _OwnScoring:
    """A task's own `process_results` and aggregation, as they are now."""

    adds = False

    def __init__(self, task: Any, run: Run) -> None:
        self.task = task
        self.iterations = run.results.get("config", {}).get("bootstrap_iters") or 0
        config = task.dump_config()
        logged = run.results.get("configs", {}).get(task.task_name, {}).get("metadata")
        config["metadata"] = {**(logged or {}), **(config.get("metadata") or {})}
        kept = ("process_results", "metric_list", "metadata")
        self.settings = {
            "versions": task.VERSION,
            "higher_is_better": task.higher_is_better(),
            "configs": {name: config[name] for name in kept if name in config},
        }

    def score(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
        """Return what the task makes of one sample."""
        return self.task.process_results(sample["doc"], responses)

    def aggregate(self, metric: str, values: list[Any]) -> tuple[Any, float | str]:
        """Aggregate as lm_eval does, with its bootstrap for the standard errors that need one."""
        from lm_eval.api.metrics import mean, stderr_for_metric

        function = self.task.aggregation().get(metric, mean)
        few = metric in ("bleu", "chrf", "chrf++", "ter")  # lm_eval draws fewer times for these slow ones
        stderr = stderr_for_metric(function, min(self.iterations, 100) if few else self.iterations)
        return function(values), stderr(values) if stderr and len(values) > 1 else "N/A"


class _Added:
    """Metrics of a user, on top of those that were logged; over several texts of a document their mean."""

    adds = True
    settings: Mapping[str, Any] = {}

    def __init__(self, functions: Mapping[str, Callable[[dict[str, Any], str], Mapping[str, float]]]) -> None:
        self.functions = functions

    def score(self, sample: dict[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
        """Return the values of all added metrics for one sample."""
        from lmx_metrics.aggregation import average

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


def _metric(name: str) -> Callable[[dict[str, Any], str], Mapping[str, float]]:
    """Return a metric by its name as a function of a sample and a text, with its values checked."""
    function, short = _find_metric(name)

    def checked(sample: dict[str, Any], text: str) -> Mapping[str, float]:
        try:
            value = function(sample, text)
        except Exception as error:
            where = f"document {sample['doc_id']}"
            raise UserError(f"--metrics {name} failed on {where}: {type(error).__name__}: {error}") from error
        values = value if isinstance(value, Mapping) else {short: value}
        for key, number in values.items():
            if not isinstance(number, numbers.Real):
                raise UserError(f"--metrics {name}: {key} is {number!r}, not a number, on document {sample['doc_id']}")
        return {str(key): float(number) for key, number in values.items()}

    return checked


def _find_metric(name: str) -> tuple[Metric, str]:
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
    if name in OWN_METRICS:
        score = importlib.import_module(f"lmx_metrics.{name}").score
        return lambda sample, text: score(text), name
    import lm_eval.api.metrics  # noqa: F401  # fills the registry
    from lm_eval.api.registry import get_metric, metric_registry

    if name not in metric_registry:
        raise unknown("metric", name, [*OWN_METRICS, *metric_registry], "Or name a function of yours: module:function")
    registered = get_metric(name)
    return lambda sample, text: registered(references=[sample["target"]], predictions=[text]), name


def _load(run: Run, task: str, include_path: Path | None, confirmed: bool) -> Any:
    """Load a task on top of its logged documents, so that no data set is needed."""
    import logging

    from datasets import Dataset
    from lm_eval.tasks import TaskManager

    docs = [next(run.samples(task))["doc"]]
    settings = {
        "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
        "test_split": "test",
        "num_fewshot": 0,
        **dict.fromkeys(
            ("dataset_path", "dataset_kwargs", "process_docs", "training_split", "validation_split", "fewshot_split",
             "fewshot_config")
        ),
    }  # fmt: skip
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # its advice is for runs
    include = None if include_path is None else str(include_path)
    manager = TaskManager(include_path=include, include_defaults=False)
    if task not in manager.task_index:
        manager = TaskManager(include_path=include)
    if task not in manager.task_index:
        raise unknown("task", task, manager.all_subtasks, "Name the folder of its YAML with --include-path")
    entry = manager.task_index[task]
    marked = (getattr(entry, "cfg", None) or {}).get("unsafe_code", False)  # loading imports the task's functions
    _gate(task, marked is not False, confirmed)
    group = {"group": "rescored", "task": [{"task": task, **settings}]}
    loaded = manager.load(group)["tasks"][task]
    _gate(task, getattr(loaded, "UNSAFE_CODE", False), confirmed)
    return loaded


def _gate(task: str, unsafe: bool, confirmed: bool) -> None:
    if unsafe and not confirmed:
        raise UserError(
            f"task {task} is marked as unsafe: its scoring runs the code that the logged texts hold. Add "
            "--confirm_run_unsafe_code to run it, in a place where it can do no harm"
        )


def _show(outcome: Rescored, run: Run) -> None:
    from lmx_analysis import tables

    columns = [("Task", False), ("Filter", False), ("Metric", False), ("Old", True), ("New", True), ("Samples", True)]
    rows = []
    for change in outcome.changes:
        old, new = (_value(value) for value in (change.old, change.new))
        rows.append([change.task, change.filter, change.metric, old, new, f"{change.changed} of {change.samples}"])
    screen = tables.console()
    screen.print(tables.table("Rescored; samples: those whose value changed", columns, rows))
    for note in (*run.notes, *outcome.notes):
        screen.print(f"note: {note}", markup=False, highlight=False)


def _value(value: Any) -> str:
    from lmx_analysis.tables import number

    if isinstance(value, (int, float)):
        return number(float(value))
    return "—" if value is None else "…"
