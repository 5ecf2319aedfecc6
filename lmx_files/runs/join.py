"""Joins the logged samples of a run with the traces of their texts: the one place that does.

A sample and a trace belong together when task, prompt and repeat are the same and the trace is of exactly the text that
was logged. The number of the document decides between equal prompts; older traces count the documents of ``--samples``
from 0, so where no trace of the prompt bears the number, those with another one are looked at. Two runs may have
written to one file: where the same text has two different traces, nothing says which is this run's, and none is taken.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_files.runs.folders import Run

T = TypeVar("T")
Line = dict[str, Any]
_Key = tuple[str, str, int]
"""Task, hash of the prompt, repeat."""


@dataclass
class Counts:
    """How many texts were asked for and what became of them.

    Attributes:
        missing: there is no trace of the prompt. unlike: there is one, of another text.
        ambiguous: there are several different ones of that text.
    """

    texts: int = 0
    joined: int = 0
    missing: int = 0
    unlike: int = 0
    ambiguous: int = 0

    def left_out(self) -> str | None:
        """Return in words which texts have no trace, None if all have one."""
        if self.joined == self.texts:
            return None
        why = [
            f"{count} {what}"
            for count, what in (
                (self.missing, "without any"),
                (self.unlike, "only with one of another text (a file of several runs?)"),
                (self.ambiguous, "with several that differ (a file of several runs: give each run its own)"),
            )
            if count
        ]
        return f"{self.texts - self.joined} of {self.texts} texts have no trace: {', '.join(why)}"


@dataclass
class _Found(Generic[T]):
    """The traces of one text and document: what was kept of the last, and whether another differs from it."""

    content: bytes
    kept: T
    differs: bool = False


@dataclass
class Traces(Generic[T]):
    """The traces of one run's texts; by key, document and text."""

    found: dict[_Key, dict[int | None, dict[str, _Found[T]]]] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)

    def take(self, task: str, sample: Mapping[str, Any], texts: list[str]) -> list[T | None]:
        """Return what was kept of the trace of each text of a sample, None where there is none; `counts` says why."""
        count = self.counts.setdefault(task, Counts())
        prompt, doc_id = str(sample.get("prompt_hash")), int(sample["doc_id"])
        taken: list[T | None] = []
        for repeat, text in enumerate(texts):
            count.texts += 1
            documents = self.found.get((task, prompt, repeat), {})
            chosen = [documents[doc_id]] if doc_id in documents else list(documents.values())
            same = [each[digest] for digest in (sha256_of_text(text),) for each in chosen if digest in each]
            taken.append(None)
            if not same:
                count.missing += not documents
                count.unlike += bool(documents)
            elif any(each.differs for each in same) or len({each.content for each in same}) > 1:
                count.ambiguous += 1
            else:
                count.joined += 1
                taken[-1] = same[0].kept
        return taken

    def left_out(self) -> list[str]:
        """Return in words, for each task, which texts were left without a trace."""
        return [f"{task}: {why}" for task, count in self.counts.items() if (why := count.left_out())]


def read_traces(run: Run, keep: Callable[[Line], T]) -> Traces[T]:
    """Read the traces of a run; of each line only what `keep` returns is held in memory.

    Raises:
        UserError: a file cannot be read, or a line is no trace. A last line that is being written is left out.
    """
    traces: Traces[T] = Traces()
    for path in run.trace_files():
        for number, line in jsonl.numbered(path, "a traces file", last="skip"):
            key, doc_id = _key(line, path, number)
            by_text = traces.found.setdefault(key, {}).setdefault(doc_id, {})
            digest, content = sha256_of_text(line["text"]), _content(line)
            known = by_text.get(digest)
            try:
                kept = keep(line)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
                raise UserError(f"{path}, line {number}: not a line of a traces file ({error!r})") from error
            by_text[digest] = _Found(content, kept, known is not None and (known.differs or known.content != content))
    return traces


def texts_of(sample: Mapping[str, Any], path: Path) -> list[str] | None:
    """Return the texts that were logged for a sample, in the order of repeats; None if likelihoods were.

    Raises:
        UserError: the sample holds no list of responses.
    """
    responses = sample.get("resps")
    if not isinstance(responses, list):
        raise UserError(f"{path}, document {sample.get('doc_id')!r}: not a sample as lm_eval logs it (no resps)")
    first = responses[0] if responses and isinstance(responses[0], list) else responses
    if not all(isinstance(text, str) for text in first) or _is_of_a_page(sample, first):
        return None
    return list(first)


def _is_of_a_page(sample: Mapping[str, Any], responses: list[str]) -> bool:
    """Whether a sample is of ``loglikelihood_rolling``, whose likelihoods lm_eval logs as texts (``"-123.4"``).

    Its request has one argument, the page; requests for texts have two.
    """
    calls = sample.get("arguments")
    call = calls.get("gen_args_0") if isinstance(calls, dict) else calls[0] if isinstance(calls, list) and calls else ()
    return isinstance(call, (dict, list, tuple)) and len(call) == 1 and all(map(_is_number, responses))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _key(line: Line, path: Path, number: int) -> tuple[_Key, int | None]:
    doc_id, repeat, trace = line.get("doc_id"), line.get("repeat", 0), line.get("trace")
    good = (
        isinstance(line.get("text"), str)
        and isinstance(line.get("prompt_hash"), str)
        and isinstance(trace, dict)
        and (doc_id is None or isinstance(doc_id, int))
        and isinstance(repeat, int)
        and _are_pieces(line.get("pieces", []))
    )
    if not good:
        raise UserError(f"{path}, line {number}: not a line of a traces file (text, prompt_hash, pieces or trace)")
    return (str(line.get("task")), line["prompt_hash"], repeat), doc_id


def _are_pieces(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(piece, list) and len(piece) == 2 and isinstance(piece[0], str) and isinstance(piece[1], str)
        for piece in value
    )


def _content(line: Line) -> bytes:
    """Return a hash of a trace without its times, which alone differ where a text was written twice alike."""
    plain = marshal.dumps(_untimed(line["trace"]), 2)  # version 2: equal values give equal bytes
    return hashlib.blake2b(plain, digest_size=16).digest()


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untimed(each) for key, each in value.items() if not key.startswith("seconds")}
    if not isinstance(value, list) or not value or not isinstance(value[0], (dict, list)):
        return value
    first = value[0]
    if isinstance(first, dict) and not any(k.startswith("seconds") or isinstance(v, dict) for k, v in first.items()):
        return value  # segments, consultations: hundreds of equal shape
    return [_untimed(each) for each in value]
