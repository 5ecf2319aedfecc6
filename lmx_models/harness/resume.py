"""Takes finished requests from a journal, and puts fresh ones in."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lm_eval.api.instance import Instance
from pydantic import TypeAdapter

from lmx_files.errors import UserError
from lmx_files.journal import Journal, key_of
from lmx_models.core.completion import Completion
from lmx_models.core.trace import Trace
from lmx_models.harness.evaluated import document_of
from lmx_models.harness.finite import is_likelihood

log = logging.getLogger(__name__)

# Likelihoods come by the thousand: they are forced to disk this often (seconds), texts each time some are finished.
SYNC_EVERY = 1.0
MOST_DIFFERENCES = 4
_TRACE, _TEXT = TypeAdapter(Trace), TypeAdapter(str)


class ResumeJournal:
    """A journal as an lm_eval model uses it.

    A text's key is made from what it depends on: model, revision, dtype, decoder settings, lmx's version, seed, task,
    document, repeat and prompt. A likelihood's key leaves out the decoder and the seed.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._before = [header for header in journal.headers.values() if isinstance(header, dict)]
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
        if value is None:
            return None
        with self.trusting_nothing():
            _TRACE.validate_python(value["trace"])
            trace = Trace.from_dict(value["trace"])
            whole = all(0 <= token < 1 << 31 for token in trace.tokens)
            if not whole or not all(0 <= one.start <= one.end <= trace.kept for one in trace.segments):
                raise ValueError("a trace that does not hold together")
            return Completion(_TEXT.validate_python(value["text"]), trace)

    @contextlib.contextmanager
    def trusting_nothing(self) -> Iterator[None]:
        """Take what goes wrong with a result of the journal as a sign that lmx did not write it: a `UserError`."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise self._foreign() from error

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
        return [fresh[i] if i in fresh else self._restored(self.journal[key]) for i, key in enumerate(keys)]

    def _restored(self, value: Any) -> Any:
        """Return a likelihood, (nats, greedy) or nats alone; JSON has no tuples."""
        pair = value if isinstance(value, list) else [value, False]
        if len(pair) != 2 or isinstance(pair[0], bool) or not isinstance(pair[0], (int, float)):
            raise self._foreign()
        return (pair[0], pair[1]) if isinstance(value, list) else value

    def _foreign(self) -> UserError:
        return UserError(
            f"the journal {self.journal.folder} holds a result that lmx did not write. Move it away, or name another "
            "folder (LMX_JOURNAL, or lmx run --journal)"
        )

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
        """Take one result; one that is no number will be refused, see `finite`, and must not come back."""
        if not is_likelihood(result):
            return
        self.journal.add(key_of([self.header, *arguments]), result)
        if time.monotonic() - self.synced > SYNC_EVERY:
            self.journal.sync()
            self.synced = time.monotonic()
        self.hook.add_partial(kind, arguments, result)


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    changed: dict[str, tuple[Any, Any]] = {}
    for name in {**a, **b}:
        x, y = a.get(name), b.get(name)
        if isinstance(x, dict) and isinstance(y, dict):
            changed |= _changes(x, y)
        elif x != y:
            changed[name] = (x, y)
    return changed
