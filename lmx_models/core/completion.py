"""A completion: the text that lm_eval sees, with the trace of how it came about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmx_models.core.trace import Trace


class Completion(str):
    """The text of an answer that carries its `Trace`.

    lm_eval treats it as the string that it is; a task's `process_results` reads ``getattr(text, "trace", None)``.
    Any string operation returns a plain str, so take the trace first.
    """

    trace: Trace

    def __new__(cls, text: str, trace: Trace | None = None) -> Completion:
        """Make a completion; one without a trace is what lm_eval makes of a gold answer (``type(answer)(gold)``)."""
        completion = super().__new__(cls, text)
        if trace is not None:
            completion.trace = trace
        return completion

    def __getnewargs__(self) -> tuple[str, Trace | None]:  # type: ignore[override]  # pickling needs the trace as well
        return (str(self), getattr(self, "trace", None))
