"""How did a generation end? Marker, stop cause, truncation, length, repetition.

Marker metrics are anchored at the *first* occurrence of the end marker in the answer (reasoning removed),
so text added after it can never make any of them better. The stop cause is read from the decoder's trace; a
plain string has no trace, and its cause is `unknown`, a rate of its own instead of a missing value.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmx_metrics.structure import DEFAULT_SPEC, SectionSpec, judged_text
from lmx_metrics.text import count_tokens, trace_of

STOP_CAUSES = ("eos", "marker", "length", "repetition", "unknown")

MIN_REPEATS = 4
"""A loop is a block of items that closes the text at least this many times in a row ..."""
MIN_REPEATED = 12
"""... and covers at least this many items (tokens with a trace, words without)."""
MAX_PERIOD = 64
"""Longest block looked for, in items."""


def tail_repeats(items: Sequence[object]) -> bool:
    """True when `items` ends in a loop: one block of 1 to `MAX_PERIOD` items, `MIN_REPEATS` times or more
    in a row at the very end, over `MIN_REPEATED` items or more. The last block may be cut short.
    """
    n = len(items)
    for period in range(1, min(MAX_PERIOD, n // MIN_REPEATS) + 1):
        need = max(period * MIN_REPEATS, MIN_REPEATED)
        if need > n:
            continue
        # items equal to the one a period earlier, counted from the end, make up a loop of that period
        if all(items[i] == items[i - period] for i in range(n - 1, n - need + period - 1, -1)):
            return True
    return False


def is_looping(text: str) -> bool:
    """`tail_repeats` over the trace's tokens (also without a final end-of-text id), else over words."""
    trace = trace_of(text)
    tokens = getattr(trace, "tokens", None)
    if tokens is None:
        return tail_repeats(text.split())
    ended = getattr(trace, "finish", None) == "eos"
    return tail_repeats(tokens) or (ended and tail_repeats(tokens[:-1]))


def stop_cause(text: str) -> str:
    """One of `STOP_CAUSES`.

    `eos`: an end-of-text token. `marker`: a stop string (the run gave the marker as one). `length`: the limit
    on new tokens or the context was reached; `repetition`: the same, but while looping.
    """
    finish = getattr(trace_of(text), "finish", None)
    if finish == "eos":
        return "eos"
    if finish == "stop":
        return "marker"
    if finish in ("length", "context"):
        return "repetition" if is_looping(text) else "length"
    return "unknown"


def score(text: str, spec: SectionSpec = DEFAULT_SPEC) -> dict[str, float]:
    """Flat metric values: rates as 0.0 or 1.0, `chars_after_marker` in characters, `n_tokens` and
    `tokens_over_limit` in tokens.

    `chars_after_marker` leaves out blank space at either end and is 0 when there is no marker: read it next
    to `marker_emitted`.
    """
    answer = judged_text(text, spec)
    marker = spec.end_marker
    start = answer.find(marker)
    emitted = start >= 0
    after = answer[start + len(marker) :] if emitted else ""
    line_before = answer[:start].rpartition("\n")[2] if emitted else ""
    line_after = after.partition("\n")[0]
    cause = stop_cause(text)
    n_tokens, estimated = count_tokens(text)
    finish = getattr(trace_of(text), "finish", None)
    return {
        "marker_emitted": float(emitted),
        "marker_once": float(emitted and marker not in after),
        "marker_own_line": float(emitted and not line_before.strip() and not line_after.strip()),
        "marker_last": float(emitted and not after.strip()),
        "chars_after_marker": float(len(after.strip())),
        **{f"stop_{name}": float(name == cause) for name in STOP_CAUSES},
        "truncated_before_marker": float(not emitted and finish in ("length", "context")),
        "repetition": float(is_looping(text)),
        "n_tokens": float(n_tokens),
        "tokens_over_limit": float(max(0, n_tokens - spec.max_tokens + 1)),
        "tokens_estimated": float(estimated),
    }
