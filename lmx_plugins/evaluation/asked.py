"""Tells models what an evaluation of lm_eval was asked for, and which document each request is about.

lm_eval 0.4 numbers the documents of ``--samples`` by their place in the list when it asks a model for texts, and by
their own number when it logs them; it logs them under wrong numbers where the list is not ascending. 0.5 numbers
requests by the document and then looks that number up as a place, which fails. And both take requests from their cache
(``--cache_requests``) by a key that knows neither their settings nor ``--samples``. So each request is given an
`Origin` here, and lists are put in order.
"""

from __future__ import annotations

import functools
import inspect
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from lmx_files.errors import UserError
from lmx_plugins.evaluation import written_settings
from lmx_plugins.evaluation.documents import check_limit, check_samples, in_order
from lmx_plugins.evaluation.token_counts import counting


@dataclass(frozen=True)
class Asked:
    """What an evaluation was asked for, as far as models must know it.

    Attributes:
        seed: lm_eval's seed for torch, which is what ``hf`` samples with (``--seed`` sets it); None: none.
        gen_kwargs: as given. use_cache: a file of lm_eval's cache of responses. limit, samples: as given.
        task_settings: generation settings in the tasks' files, by task; empty where the model is not a plugin's.
        model_args: as given.
    """

    seed: int | None = None
    gen_kwargs: Any = None
    use_cache: str | None = None
    limit: Any = None
    samples: Any = None
    task_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    model_args: Any = None

    def model_arguments(self) -> set[str]:
        """Return the names of the model's arguments, which lm_eval puts among the metadata that tasks get."""
        if isinstance(self.model_args, str):
            return {entry.partition("=")[0].strip() for entry in self.model_args.split(",")}
        return set(self.model_args) if isinstance(self.model_args, Mapping) else set()


NOTHING = Asked()
_asked: ContextVar[Asked] = ContextVar("asked", default=NOTHING)
_ours: ContextVar[bool] = ContextVar("ours", default=False)


def asked() -> Asked:
    """Return what the evaluation that is under way was asked for; `NOTHING` where there is none."""
    return _asked.get()


@contextmanager
def announced(**what: Any) -> Iterator[None]:
    """Say what an evaluation is asked for while models are made outside one; takes the fields of `Asked`."""
    with _set(_asked, Asked(**what)):
        yield


@dataclass(frozen=True)
class Origin:
    """Where a request comes from.

    Attributes:
        document: the number of its document in the task's data set, whichever documents were asked for.
        check: raises a `UserError` unless the request is the one that its task would make now; None: it was just made.
    """

    document: int
    check: Callable[[], None] | None = None


def origin(instance: Any) -> Origin:
    """Return where a request of lm_eval comes from; one that no task has made is about the document it names."""
    return getattr(instance, "lmx_origin", None) or Origin(instance.doc_id)


def watch_requests(module: Any) -> None:
    """Give each request its origin; runs after lm_eval's module of tasks."""
    module.Task.build_all_requests = _with_origins(module.Task.build_all_requests)


def watch_evaluator(module: Any) -> None:
    """Keep what an evaluation is asked for; runs after lm_eval's evaluator."""
    module.simple_evaluate = _announced(module.simple_evaluate)
    module.evaluate = _begun(module.evaluate)


def _announced(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def simple_evaluate(*args: Any, **kwargs: Any) -> Any:
        given = _bound(signature, args, kwargs)
        told = Asked(
            seed=given.get("torch_random_seed"),
            gen_kwargs=given.get("gen_kwargs"),
            use_cache=given.get("use_cache"),
            limit=given.get("limit"),
            samples=given.get("samples"),
            task_settings=_task_settings(given),
            model_args=given.get("model_args"),
        )
        with _set(_asked, told):
            results = original(*args, **kwargs)
        restore_directions(results)
        # lm_eval writes what was asked for (`cuda:0`, or nothing), whatever the model found.
        config = results.get("config") if isinstance(results, Mapping) else None
        decoding = config.get("decoding") if isinstance(config, Mapping) else None
        if isinstance(config, dict) and isinstance(decoding, Mapping) and decoding.get("device"):
            config["device"] = decoding["device"]
        return results

    return simple_evaluate


def _task_settings(given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    if not written_settings.is_plugin(given.get("model")):
        return {}
    return written_settings.of_tasks(given.get("task_manager"), given.get("tasks"))


def restore_directions(results: Any) -> None:
    """Say None of metrics that tasks declare with ``higher_is_better: null``; lm_eval 0.5 calls them better if higher.

    Args:
        results: lm_eval's, changed in place; of a group, a metric that is neutral in any of its tasks.
    """
    if not isinstance(results, Mapping):
        return
    directions = results.get("higher_is_better") or {}
    neutral = {task: neutral_metrics(config) for task, config in (results.get("configs") or {}).items()}
    below = results.get("group_subtasks") or {}
    for name, known in directions.items():
        names = neutral.get(name) or set().union(*(neutral.get(task, set()) for task in below.get(name) or ()))
        known.update(dict.fromkeys(names & set(known)))


def neutral_metrics(config: Mapping[str, Any]) -> set[str]:
    """Return the metrics of a task's configuration that are neither better high nor low."""
    declared = [one for one in config.get("metric_list") or () if isinstance(one, Mapping)]
    return {str(one["metric"]) for one in declared if one.get("higher_is_better", True) is None}


def _begun(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        given = _bound(signature, args, kwargs)
        begin = getattr(given.get("lm"), "begin_evaluation", None)
        samples = given.get("samples")
        if begin is not None:
            check_limit(given.get("limit"))
            check_samples(samples, _names(given.get("task_dict")))
            begin(asked())
        if isinstance(samples, Mapping) and "samples" in kwargs:
            kwargs["samples"] = {task: _looked_up(in_order(numbers)) for task, numbers in samples.items()}
        with _set(_ours, begin is not None), counting(given.get("lm")):
            return original(*args, **kwargs)

    return evaluate


def _names(task_dict: Any) -> list[str] | None:
    """Return the names of the tasks; None where lm_eval was given them in an older form."""
    tasks = task_dict.get("tasks") if isinstance(task_dict, Mapping) else None
    return list(map(str, tasks)) if isinstance(tasks, Mapping) else None


@functools.lru_cache(maxsize=1)
def numbers_by_place() -> bool:
    """Whether this lm_eval numbers requests by the place of their document in ``--samples``; found out by asking it."""
    from lm_eval.api.task import Task

    three = SimpleNamespace(eval_docs=["a", "b", "c"], config=SimpleNamespace(task="lmx"))
    was = logging.root.manager.disable
    logging.disable(logging.INFO)  # it tells the user what it is evaluated on
    try:
        ((number, _),) = Task.doc_iterator(three, samples=[1])
    finally:
        logging.disable(was)
    return bool(number == 0)


class _ByNumber(list[int]):
    """Numbers of documents, in which the number at a document's own number is that number."""

    def __getitem__(self, at: Any) -> Any:
        return at if isinstance(at, int) else super().__getitem__(at)


def _looked_up(numbers: Any) -> Any:
    """Return ``--samples`` of a task such that lm_eval finds each document's number where it looks it up."""
    return _ByNumber(numbers) if isinstance(numbers, list) and not numbers_by_place() else numbers


def _with_origins(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def build_all_requests(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = _bound(signature, (self, *args), kwargs)
        from_cache = given.get("cache_requests") and not given.get("rewrite_requests_cache")
        before = _random_states(self) if from_cache else {}
        try:
            outcome = original(self, *args, **kwargs)
        except AssertionError as error:
            if not _ours.get() or not given.get("samples"):
                raise
            raise UserError(f"--samples: task {self.config.task}: {error}") from error
        check = None
        if from_cache:
            check = _Fresh(self, original, args, {**kwargs, "cache_requests": False}, before)
        numbers = list(in_order(given.get("samples") or [])) if numbers_by_place() else []
        for instance in self._instances:
            at = instance.doc_id
            instance.lmx_origin = Origin(numbers[at] if at < len(numbers) else at, check)
        return outcome

    return build_all_requests


class _Fresh:
    """Compares a task's requests, which lm_eval may have taken from its cache, with those that it would make now."""

    def __init__(
        self,
        task: Any,
        build: Callable[..., None],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        states: Mapping[str, Any],
    ) -> None:
        self.task, self.build, self.args, self.kwargs, self.states = task, build, args, kwargs, states
        self._passed = False

    def __call__(self) -> None:
        """Raise a `UserError` if they differ."""
        if self._passed:
            return
        task = self.task
        taken = task._instances
        for place, state in zip(_generators(task), self.states.values(), strict=True):
            place.setstate(state)
        try:
            self.build(task, *self.args, **self.kwargs)
            fresh = task._instances
        finally:
            task._instances = taken
        changed = _difference(taken, fresh)
        if changed:
            raise UserError(
                f"task {task.config.task}: requests that lm_eval took from its cache are not those of this run "
                f"({changed}). Its key knows neither generation settings nor --samples: leave out --cache_requests. "
                "Finished texts are kept by the journal (lmx run, or LMX_JOURNAL=DIR)"
            )
        self._passed = True


def _difference(taken: list[Any], fresh: list[Any]) -> str | None:
    """Say how two lists of requests differ."""
    if len(taken) != len(fresh):
        return f"{len(taken)} requests instead of {len(fresh)}"
    for old, new in zip(taken, fresh, strict=True):
        for what in ("doc_id", "doc", "idx", "request_type", "repeats", "arguments"):
            was, is_ = getattr(old, what), getattr(new, what)
            if was != is_:
                shown = ""
                if what == "arguments" and len(was) == len(is_):
                    parts = [(a, b) for a, b in zip(was, is_, strict=True) if a != b and not isinstance(a, str)]
                    shown = "".join(f": {a} instead of {b}" for a, b in parts[:1])[:300]
                return f"document {new.doc_id}: other {what}{shown}"
    return None


def _generators(task: Any) -> list[random.Random]:
    """Return the generators of random numbers that choose a task's few-shot examples."""
    found = [getattr(task, "fewshot_rnd", None), getattr(getattr(task, "sampler", None), "rnd", None)]
    return [one for one in found if isinstance(one, random.Random)]


def _random_states(task: Any) -> dict[str, Any]:
    return {str(i): one.getstate() for i, one in enumerate(_generators(task))}


def _bound(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by name, defaults included; empty where lm_eval would refuse them itself."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
