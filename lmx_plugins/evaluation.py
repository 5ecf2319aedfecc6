"""Tells models what an evaluation of lm_eval was asked for, and which document each request is about.

lm_eval numbers the documents of ``--samples`` by their place in the list when it asks a model for texts, and by their
own number when it logs them; it logs them under wrong numbers where the list is not ascending. And it takes requests
from its cache (``--cache_requests``) by a key that knows neither their settings nor ``--samples``. So each request is
given an `Origin` here, and lists are put in order.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from lmx_plugins.documents import check_limit, check_samples, in_order
from lmx_plugins.errors import UserError
from lmx_plugins.token_counts import counting


@dataclass(frozen=True)
class Asked:
    """What an evaluation was asked for, as far as models must know it.

    Attributes:
        seed: lm_eval's seed for torch, which is what ``hf`` samples with (``--seed`` sets it); None: none.
        gen_kwargs: as given. use_cache: a file of lm_eval's cache of responses. limit, samples: as given.
    """

    seed: int | None = None
    gen_kwargs: Any = None
    use_cache: str | None = None
    limit: Any = None
    samples: Any = None


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
        )
        with _set(_asked, told):
            results = original(*args, **kwargs)
        # lm_eval writes what was asked for (`cuda:0`, or nothing), whatever the model found.
        config = results.get("config") if isinstance(results, Mapping) else None
        decoding = config.get("decoding") if isinstance(config, Mapping) else None
        if isinstance(config, dict) and isinstance(decoding, Mapping) and decoding.get("device"):
            config["device"] = decoding["device"]
        return results

    return simple_evaluate


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
            kwargs["samples"] = {task: in_order(numbers) for task, numbers in samples.items()}
        with _set(_ours, begin is not None), counting(given.get("lm")):
            return original(*args, **kwargs)

    return evaluate


def _names(task_dict: Any) -> list[str] | None:
    """Return the names of the tasks; None where lm_eval was given them in an older form."""
    tasks = task_dict.get("tasks") if isinstance(task_dict, Mapping) else None
    return list(map(str, tasks)) if isinstance(tasks, Mapping) else None


def _with_origins(original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def build_all_requests(self: Any, *args: Any, **kwargs: Any) -> None:
        given = _bound(signature, (self, *args), kwargs)
        before = _random_states(self)
        try:
            original(self, *args, **kwargs)
        except AssertionError as error:
            if not _ours.get() or not given.get("samples"):
                raise
            raise UserError(f"--samples: task {self.config.task}: {error}") from error
        check = None
        if given.get("cache_requests") and not given.get("rewrite_requests_cache"):
            check = _Fresh(self, original, args, {**kwargs, "cache_requests": False}, before)
        numbers = in_order(given.get("samples") or [])
        for instance in self._instances:
            at = instance.doc_id
            instance.lmx_origin = Origin(numbers[at] if at < len(numbers) else at, check)

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
