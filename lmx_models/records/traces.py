"""What a run keeps besides lm_eval's files: a trace of every text, and statistics over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_models.core.completion import Completion
from lmx_models.core.trace import ModelCost, Trace

_BEGINNING = '{"task": '


class TraceFile:
    """Appends one JSON line per finished text; opened (and found unwritable) before the run.

    Lines join lm_eval's samples file on ``(task, doc_id, prompt_hash)``.

    Args:
        journaled: a journal holds every text and hands it in again, so lines need not be forced to disk. A text may
            then stand in the file twice: the last line counts.
    """

    def __init__(self, path: str, rank: int, journaled: bool = False) -> None:
        self.journaled = journaled
        self.path = Path(path if rank == 0 else f"{path}.rank{rank}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = jsonl.Appender(self.path, _BEGINNING, "traces", '"prompt_hash"')
        except OSError as error:
            raise UserError(
                f"cannot write traces to {self.path} ({error.strerror}): name a file in a writable folder, "
                "with traces=FILE or LMX_TRACES=FILE"
            ) from error

    def write(
        self,
        task: str | None,
        doc_id: int | None,
        repeat: int,
        prompt: str,
        text: Completion,
        pieces: list[tuple[str, str]],
    ) -> None:
        """Append one text; it is on disk when this returns (but see `journaled`).

        Args:
            pieces: the text cut by source, for readers.
        """
        line = {
            "task": task,
            "doc_id": doc_id,
            "repeat": repeat,
            "prompt_hash": sha256_of_text(prompt),
            "text": str(text),
            "pieces": pieces,
            "trace": text.trace.as_dict(),
        }
        try:
            self._file.add(line, sync=not self.journaled)
        except OSError as error:
            raise UserError(
                f"cannot write traces to {self.path} ({error.strerror}): make room, or name another file with "
                "traces=FILE or LMX_TRACES=FILE"
            ) from error


def pieces_of(text: str, trace: Trace, decode: Callable[[Sequence[int]], str]) -> list[tuple[str, str]]:
    """Cut a text by source; decoding from the start each time keeps characters of several tokens whole."""
    pieces, done = [], 0
    for segment in trace.segments:
        # Where tokens were not filled from left to right, a reader wants to see each by itself.
        ends = range(segment.start + 1, segment.end + 1) if "steps" in trace.extra else [segment.end]
        for stop in ends:
            end = min(len(decode(trace.tokens[:stop]).rstrip("\ufffd")), len(text))
            pieces.append((segment.source, text[done:end]))
            done = max(done, end)
    return pieces


class RunStatistics:
    """Sums over the traces of a run. Plain numbers only, so that ranks can gather and add them."""

    def __init__(self) -> None:
        self.texts = self.kept = self.dropped = self.fresh_texts = self.fresh_kept = 0
        self.seconds = 0.0
        self.finish: dict[str, int] = {}
        self.by_source: dict[str, int] = {}
        self.cost: dict[str, ModelCost] = {}
        self.counts: dict[str, int] = {}  # what a method counts, see `Method.counts`
        self.reasoning: int | None = None  # texts that ended within their reasoning; None: nothing is known of any

    def add(self, text: Completion, fresh: bool = True) -> None:
        """Count one text; not `fresh`: it was written by an earlier run and taken from a journal."""
        trace = text.trace
        self.texts += 1
        self.kept += trace.kept
        if fresh:
            self.fresh_texts += 1
            self.fresh_kept += trace.kept
        self.dropped += trace.dropped
        self.finish[trace.finish] = self.finish.get(trace.finish, 0) + 1
        if "reasoning_finished" in trace.extra:
            self.reasoning = (self.reasoning or 0) + (not trace.extra["reasoning_finished"])
        for source, tokens in trace.by_source().items():
            self.by_source[source] = self.by_source.get(source, 0) + tokens
        for name, cost in trace.cost.items():
            self.cost.setdefault(name, ModelCost()).add(cost)

    def count(self, counts: dict[str, int]) -> None:
        """Add what a method counts of one text."""
        _add(self.counts, counts)

    def merge(self, other: RunStatistics) -> None:
        """Add the statistics of another rank; the ranks ran side by side, so the longest time counts."""
        self.texts += other.texts
        self.kept += other.kept
        self.fresh_texts += other.fresh_texts
        self.fresh_kept += other.fresh_kept
        self.dropped += other.dropped
        if other.reasoning is not None:
            self.reasoning = (self.reasoning or 0) + other.reasoning
        self.seconds = max(self.seconds, other.seconds)
        for name in ("finish", "by_source", "counts"):
            _add(getattr(self, name), getattr(other, name))
        for name, cost in other.cost.items():
            self.cost.setdefault(name, ModelCost()).add(cost)

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into the results file.

        tokens_per_forward: kept tokens per forward that a text took part in. p_cache: kept / fed tokens. A model's
        prefill is the first feed of each text; its seconds are a text's share of each forward by tokens.

        Counts and `model_seconds` are of all texts: model_seconds are the forwards' by the clock (of servers: the
        requests', which overlap), those of journaled texts as they were measured when they were written. `seconds` and
        tokens_per_second are by this attempt's clock, and so of the texts that it wrote: all but texts_from_journal.
        unfinished_reasoning: texts that ended before `think_end_token`, and so have no answer.
        """
        forwards = sum(cost.forwards for cost in self.cost.values())
        fed = sum(cost.prefill + cost.decode for cost in self.cost.values())
        report: dict[str, Any] = {
            "texts": self.texts,
            "tokens_kept": self.kept,
            "tokens_dropped": self.dropped,
            "tokens_fed": fed,
            "forwards": forwards,
            "tokens_per_forward": ratio(self.kept, forwards),
            "p_cache": ratio(self.kept, fed),
            "seconds": round(self.seconds, 3),
            "model_seconds": round(sum(cost.seconds_prefill + cost.seconds_decode for cost in self.cost.values()), 3),
            "tokens_per_second": ratio(self.fresh_kept, self.seconds),
            "texts_from_journal": self.texts - self.fresh_texts,
            "finish": dict(sorted(self.finish.items())),
            "tokens_by_source": self.by_source,
            "models": {
                name: {
                    "forwards": cost.forwards,
                    "prefill_tokens": cost.prefill,
                    "decode_tokens": cost.decode,
                    "prefill_tokens_per_second": ratio(cost.prefill, cost.seconds_prefill),
                    "decode_tokens_per_second": ratio(cost.decode, cost.seconds_decode),
                }
                for name, cost in self.cost.items()
            },
        }
        if self.reasoning is not None:
            report["unfinished_reasoning"] = self.reasoning
        return report


def _add(sums: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        sums[name] = sums.get(name, 0) + count


def ratio(a: float, b: float) -> float | None:
    """Return a / b as results tell it; None of nothing."""
    return round(a / b, 4) if b else None
