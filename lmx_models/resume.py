"""Takes finished requests from a journal, and puts fresh ones in."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from lm_eval.api.instance import Instance

from lmx_models.completion import Completion
from lmx_models.decoding.trace import Trace
from lmx_models.evaluated import document_of
from lmx_models.journal import Journal, key_of

log = logging.getLogger(__name__)

# Likelihoods come by the thousand: they are forced to disk this often (seconds), texts each time some are finished.
SYNC_EVERY = 1.0
MOST_DIFFERENCES = 4


class ResumeJournal:
    """A journal as an lm_eval model uses it.

    A text's key is made from what it depends on: model, revision, dtype, decoder settings, lmx's version, seed, task,
    document, repeat and prompt. A likelihood's key leaves out the decoder and the seed.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._before = list(journal.headers.values())
        self._told: set[str] = set()

    def header(self, description: Mapping[str, Any]) -> str:
        """Return the key of what all requests of one kind and task depend on; kept in the journal for readers."""
        plain = json.loads(json.dumps(description, default=str))
        if key_of(plain) not in self.journal.headers:
            self._tell_difference(plain)
        return self.journal.add_header(plain)

    def text(self, key: str) -> Completion | None:
        """Return a finished text with its trace, if there is one."""
        value = self.journal.get(key)
        return Completion(value["text"], Trace.from_dict(value["trace"])) if value else None

    def add_text(self, key: str, instance: Instance, text: Completion) -> None:
        """Keep a finished text; call `Journal.sync` before the next one is started in its place."""
        where = {"task": instance.task_name, "doc_id": document_of(instance)}  # for people who read the file
        self.journal.add(key, {**where, "text": str(text), "trace": text.trace.as_dict()})

    def likelihoods(
        self,
        lm: Any,
        description: Mapping[str, Any],
        requests: list[Instance],
        compute: Callable[[list[Instance]], list[Any]],
    ) -> list[Any]:
        """Return what `compute` gives for `requests`, asking it only for those that are not in the journal."""
        header = self.header(description)
        keys = [key_of([header, *request.args]) for request in requests]
        todo = [i for i, key in enumerate(keys) if key not in self.journal]
        if not todo and lm.world_size > 1:
            todo = [0]  # all ranks must take part: lm_eval gathers sizes inside
        before = lm.cache_hook
        lm.cache_hook = _Tee(before, self.journal, header)
        try:
            fresh = dict(zip(todo, compute([requests[i] for i in todo]) if todo else [], strict=True))
        finally:
            lm.cache_hook = before
            self.journal.sync()
        return [fresh[i] if i in fresh else _restored(self.journal[key]) for i, key in enumerate(keys)]

    def _tell_difference(self, header: dict[str, Any]) -> None:
        """Where the journal has the same task and model under nearly the same settings, say what is different."""
        for other in reversed(self._before):
            changed = _changes(other, header)
            if len(changed) <= MOST_DIFFERENCES and not {"task", "kind", "method"} & set(changed):
                what = ", ".join(f"{name} was {old!r} and is {new!r}" for name, (old, new) in changed.items())
                if what not in self._told:
                    log.warning("the journal holds results of %s, but %s: they are not used", header.get("task"), what)
                self._told.add(what)
                return


class _Tee:
    """lm_eval's hook for finished requests: journals each and hands it on."""

    def __init__(self, hook: Any, journal: Journal, header: str) -> None:
        self.hook, self.journal, self.header = hook, journal, header
        self.synced = time.monotonic()

    def add_partial(self, kind: str, arguments: Any, result: Any) -> None:
        """Take one result."""
        self.journal.add(key_of([self.header, *arguments]), result)
        if time.monotonic() - self.synced > SYNC_EVERY:
            self.journal.sync()
            self.synced = time.monotonic()
        self.hook.add_partial(kind, arguments, result)


def _restored(value: Any) -> Any:
    """JSON has no tuples: a likelihood is (nats, greedy)."""
    return tuple(value) if isinstance(value, list) else value


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    changed: dict[str, tuple[Any, Any]] = {}
    for name in {**a, **b}:
        x, y = a.get(name), b.get(name)
        if isinstance(x, dict) and isinstance(y, dict):
            changed |= _changes(x, y)
        elif x != y:
            changed[name] = (x, y)
    return changed
