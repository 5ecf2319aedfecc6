"""Drives many decoders at once: continuous batching for every method."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from lmx_models.core.base import Decoding, Feed, Generate, Generation, Reply
from lmx_models.core.distributions import NotFiniteError
from lmx_models.core.trace import ModelCost
from lmx_models.engine.step_model import StepModel
from lmx_models.servers.remote_model import RemoteModel


@dataclass(frozen=True, slots=True)
class Job:
    """One text to write: `start` makes its decoder."""

    key: Hashable
    start: Callable[[], Decoding]


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished text with what it cost."""

    key: Hashable
    generation: Generation
    cost: dict[str, ModelCost]
    seconds_to_first: float
    seconds: float


@dataclass(slots=True)
class _Live:
    key: Hashable
    decoding: Decoding
    asks: Feed | Generate
    started: float
    first: float | None = None
    cost: dict[str, ModelCost] = field(default_factory=dict)


class Scheduler:
    """Runs jobs over named models; names may share one `StepModel` (one set of weights, a cache row for each name).

    Servers write while local models compute: forwards go on as long as a sequence waits for one.

    Args:
        models: by the names that decoders use in `Feed` (a `StepModel`) and `Generate` (a `RemoteModel`).
        rows: most sequences in one forward.
        in_flight: most sequences alive at once; more than `rows` keeps forwards full when sequences alternate between
            models. Each `StepModel` needs that many rows for every name that it has.
        max_batched_tokens: most tokens in one forward (a single longer prompt still goes in one). None: 1024 on a
            CPU, where longer forwards fall out of its caches, and 8192 elsewhere.
    """

    def __init__(
        self,
        models: Mapping[str, StepModel | RemoteModel],
        rows: int,
        in_flight: int | None = None,
        max_batched_tokens: int | None = None,
    ) -> None:
        self.models = {name: model for name, model in models.items() if not isinstance(model, RemoteModel)}
        self.remotes = {name: model for name, model in models.items() if isinstance(model, RemoteModel)}
        self.rows = rows
        self.in_flight = in_flight or rows
        on_cpu = all(model.device.type == "cpu" for model in self.models.values())
        self.max_batched_tokens = max_batched_tokens or (1024 if on_cpu else 8192)
        # Sequences wait by set of weights: names that share weights share forwards.
        self._waiting: dict[int, list[_Live]] = {id(model): [] for model in self.models.values()}
        self._step = {id(model): model for model in self.models.values()}
        self._asked: dict[Future[Reply], _Live] = {}
        self._last = next(iter(self._waiting), 0)
        self._reached = dict.fromkeys(self._waiting, -1)

    def run(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        """Yield each text as soon as it is finished; its place is filled only after the caller comes back.

        Raises:
            NotFiniteError: a model gave logits that are NaN or infinite; `key` is that of the job.
        """
        for batch in self.batches(jobs):
            yield from batch

    def batches(self, jobs: Iterable[Job]) -> Iterator[list[Finished]]:
        """Yield the texts that each forward finished, if any; see `run`."""
        todo = iter(jobs)
        live, exhausted = 0, False
        try:
            while True:
                while live < self.in_flight and not exhausted:
                    job = next(todo, None)
                    if job is None:
                        exhausted = True
                        break
                    decoding = job.start()
                    sequence = _Live(job.key, decoding, next(decoding), time.perf_counter())
                    live += 1
                    self._wait(sequence)
                if not live:
                    return
                if any(self._waiting.values()) and (batch := self._forward()):
                    live -= len(batch)
                    yield batch
                if self._asked and (batch := self._replies()):
                    live -= len(batch)
                    yield batch
        finally:
            for remote in self.remotes.values():
                remote.close()
            self._asked.clear()
            for waiting in self._waiting.values():
                for sequence in waiting:
                    self._release(sequence)
                waiting.clear()

    def _wait(self, sequence: _Live) -> None:
        if isinstance(sequence.asks, Generate):
            self._asked[self.remotes[sequence.asks.model].submit(sequence.asks)] = sequence
            return
        model, key = self.models[sequence.asks.model], (sequence.key, sequence.asks.model)
        if not model.has(key):
            model.open(key)
        self._waiting[id(model)].append(sequence)

    def _release(self, sequence: _Live) -> None:
        for name, model in self.models.items():
            model.close((sequence.key, name))

    def _forward(self) -> list[Finished]:
        """Run one forward of the model that can fill most of its rows; return the texts that it finished.

        Of equals the last one goes on: sequences that change models in step fill its next forwards too.
        """
        self._last = max(self._waiting, key=lambda name: (min(len(self._waiting[name]), self.rows), name == self._last))
        batch = self._take(self._last)
        feeds = [((sequence.key, feed.model), feed) for sequence, feed in batch]
        try:
            all_logits, seconds = self._step[self._last].step(feeds)
        except NotFiniteError as error:
            own = next(one for one, feed in batch if (one.key, feed.model) == error.key)
            raise NotFiniteError(error.position, own.key, own.asks.model) from None
        tokens = sum(len(feed.tokens) for _, feed in feeds)
        finished = []
        for (sequence, feed), logits in zip(batch, all_logits, strict=True):
            self._account(sequence, len(feed.tokens), seconds * len(feed.tokens) / tokens)
            finished += self._send(sequence, logits)
        return finished

    def _replies(self) -> list[Finished]:
        """Hand on what servers have written; wait for one of them if no local model has anything to do.

        A request that failed for good raises only after the texts that were finished beside it have been handed out.
        """
        done, _ = wait(self._asked, timeout=0 if any(self._waiting.values()) else None, return_when=FIRST_COMPLETED)
        finished: list[Finished] = []
        for future in sorted(done, key=lambda future: future.exception() is not None):
            if finished and future.exception():
                break
            sequence, reply = self._asked.pop(future), future.result()
            cost = sequence.cost.setdefault(sequence.asks.model, ModelCost())
            cost.add(ModelCost(1, reply.prompt_tokens, reply.completion_tokens, seconds_decode=reply.seconds))
            finished += self._send(sequence, reply)
        return finished

    def _send(self, sequence: _Live, answer: Any) -> list[Finished]:
        """Let a decoder go on to its next request; return its text if that was the end."""
        if sequence.first is None:
            sequence.first = time.perf_counter()
        try:
            sequence.asks = sequence.decoding.send(answer)
        except StopIteration as end:
            return [self._finish(sequence, end.value)]
        except NotFiniteError as error:
            raise NotFiniteError(error.position, sequence.key, sequence.asks.model) from None
        self._wait(sequence)
        return []

    def _take(self, name: int) -> list[tuple[_Live, Feed]]:
        """Take the next forward's sequences, going round the cache's rows: they lie close together, and all get on."""
        model, last = self._step[name], self._reached[name]
        rows = {id(one): model.row((one.key, one.asks.model)) for one in self._waiting[name]}
        turn = sorted(self._waiting[name], key=lambda one: (rows[id(one)] <= last, rows[id(one)]))
        batch: list[tuple[_Live, Feed]] = []
        tokens = 0
        for sequence in turn[: self.rows]:
            feed = sequence.asks
            assert isinstance(feed, Feed)
            tokens += len(feed.tokens)
            if batch and tokens > self.max_batched_tokens:
                break
            batch.append((sequence, feed))
        self._waiting[name] = turn[len(batch) :]
        self._reached[name] = rows[id(batch[-1][0])]
        return batch

    @staticmethod
    def _account(sequence: _Live, tokens: int, seconds: float) -> None:
        cost = sequence.cost.setdefault(sequence.asks.model, ModelCost())
        if cost.forwards == 0:
            cost.prefill += tokens
            cost.seconds_prefill += seconds
        else:
            cost.decode += tokens
            cost.seconds_decode += seconds
        cost.forwards += 1

    def _finish(self, sequence: _Live, generation: Generation) -> Finished:
        self._release(sequence)
        now = time.perf_counter()
        first = sequence.first if sequence.first is not None else now
        return Finished(sequence.key, generation, sequence.cost, first - sequence.started, now - sequence.started)
