"""What scoring is given of a logged sample: responses with their types, and with their traces where those are known.

A metric may read a text's trace (how it ended, its tokens). Of a text without one such a value cannot be computed, and
what the scoring makes up for plain strings is no measurement. Which values these are is found by trying: the sample
is scored once more with traces that differ in everything; what then differs depends on the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmx_files.errors import UserError
from lmx_files.runs.folders import Run
from lmx_files.runs.join import Traces, read_traces, texts_of

Score = Callable[[Sequence[Any]], Mapping[str, Any]]
READ = frozenset(("tokens", "finish", "segments", "prompt_tokens", "dropped", "cost", "seconds", "seconds_to_first"))
"""What the made-up traces differ in; a metric that reads anything else of a trace is not tried out."""


class Untraced(str):
    """A text whose trace is not known; it notes when one is asked for. `stand_in`: a trace to try the scoring with."""

    asked = False
    stand_in: Any = None

    @property
    def trace(self) -> Any:
        """The stand-in; without one there is no trace, as for a plain string."""
        self.asked = True
        if self.stand_in is None:
            raise AttributeError("trace")
        return self.stand_in


class _StandIn:
    """A made-up trace; `unknown` holds what was read of it that it cannot vary."""

    def __init__(self, finish: str, tokens: list[int], source: str, unknown: set[str]) -> None:
        from lmx_models.core.base import Segment
        from lmx_models.core.trace import ModelCost, Trace

        cost = {source: ModelCost(len(tokens) + 1, len(tokens) + 3, len(tokens), 0.1 * len(tokens), 0.2 * len(tokens))}
        segments = [Segment(source, 0, len(tokens))] if tokens else []
        seconds = 0.3 * len(tokens)
        self._trace = Trace(tokens, segments, finish, len(tokens) + 3, len(tokens), cost, seconds / 2, seconds)
        self._unknown = unknown

    def __getattr__(self, name: str) -> Any:
        if name not in READ and name not in ("forwards", "fed", "kept", "by_source"):
            self._unknown.add(name)
        return getattr(self._trace, name)


class Responses:
    """Gives logged responses, which lm_eval writes as strings, their types and their traces back."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.traces: Traces[dict[str, Any]] = read_traces(run, lambda line: line)
        self.texts = self.traced = 0
        self.kept: dict[str, None] = {}

    def restore(self, task: str, sample: dict[str, Any]) -> list[Any]:
        """Return the responses of a sample as `process_results` is given them."""
        path = self.run.sample_files[task]
        kind = self.run.results.get("configs", {}).get(task, {}).get("output_type", "generate_until")
        logged = sample["filtered_resps"]
        if isinstance(logged, list) and not str(self.run.results.get("lm_eval_version", "0.4")).startswith("0.4"):
            # From 0.5 on each request has a list, of one response where a document has one sample.
            logged = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in logged]
        try:
            if kind in ("multiple_choice", "loglikelihood"):
                return [(float(nats), str(greedy) == "True") for nats, greedy in logged]
            if kind == "loglikelihood_rolling":
                return [float(nats) for nats in logged]
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: document {sample['doc_id']}: {error}") from error
        if not isinstance(logged, list):
            raise UserError(f"{path}: document {sample['doc_id']}: its filtered_resps are no list")
        texts = texts_of(sample, path) or []
        lines = self.traces.take(task, sample, texts)
        known = list(zip(texts, lines, strict=True))
        return [
            [self._text(text, known[number : number + 1]) for number, text in enumerate(each)]
            if isinstance(each, list)
            else self._text(each, known[:1])
            for each in logged
        ]

    def notes(self) -> list[str]:
        """Say how many texts have no trace, why, and which values were therefore left as they were logged."""
        if not self.texts or self.traced == self.texts:
            return []
        why = "; ".join(self.traces.left_out()) or "a filter changed the text"
        notes = [f"{self.texts - self.traced} of {self.texts} scored texts have no trace ({why})"]
        if self.kept:
            notes.append(
                f"not scored again for these, because a trace is needed: {', '.join(self.kept)}. Logged values stay; "
                "a value that was not logged is missing"
            )
        return notes

    def _text(self, text: Any, known: Sequence[tuple[str, dict[str, Any] | None]]) -> Any:
        if not isinstance(text, str):
            return text
        self.texts += 1
        for logged, line in known:
            if logged == text and line is not None:
                self.traced += 1
                return _completion(text, line["trace"])
        return Untraced(text)


def values_without_guesses(
    score: Score, responses: Sequence[Any], logged: Mapping[str, Any], kept: dict[str, None]
) -> dict[str, Any]:
    """Return the values of one sample; what would need a trace that is not known has its logged value, or none.

    Args:
        logged: the values that the run has. kept: names of values that were not computed are added.
    """
    values = dict(score(responses))
    untraced = [text for text in _flat(responses) if isinstance(text, Untraced)]
    if not any(text.asked for text in untraced):
        return values
    depending = _depending(score, responses, untraced, values, logged)
    kept |= dict.fromkeys(depending)
    known = {name: value for name, value in values.items() if name not in depending}
    known |= {name: logged[name] for name in depending if name in logged}
    return {name: known[name] for name in {**logged, **known} if name in known}


def _depending(
    score: Score,
    responses: Sequence[Any],
    untraced: Sequence[Untraced],
    values: Mapping[str, Any],
    logged: Mapping[str, Any],
) -> list[str]:
    """Return the names of the values that depend on the traces of `untraced` texts."""
    unknown: set[str] = set()
    found: dict[str, None] = {}
    for trial in _stand_ins(unknown):
        for text in untraced:
            text.stand_in = trial
        try:
            other = score(responses)
        except Exception:  # a scoring that cannot do with a made-up trace has read it
            other = {}
        finally:
            for text in untraced:
                text.stand_in = None
        found |= dict.fromkeys(name for name in {**values, **other} if _differ(name, values, other))
    if unknown:  # it reads what stand-ins do not have: whatever is not as it was logged may come from there
        found |= dict.fromkeys(name for name in {**values, **logged} if _differ(name, values, logged))
    return list(found)


def _stand_ins(unknown: set[str]) -> Iterator[_StandIn]:
    yield _StandIn("eos", [*range(9)], "base", unknown)
    yield _StandIn("length", [7] * 200, "oracle", unknown)
    yield _StandIn("stop", [*range(20_000)], "ar", unknown)
    yield _StandIn("context", [], "base", unknown)


def _differ(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if (name in a) != (name in b):
        return True
    x, y = a[name], b[name]
    try:
        return not (bool(x == y) or (x != x and y != y))
    except (TypeError, ValueError):  # arrays, for instance
        return repr(x) != repr(y)


def _flat(responses: Sequence[Any]) -> Iterator[Any]:
    for each in responses:
        yield from each if isinstance(each, list) else [each]


def _completion(text: str, record: Mapping[str, Any]) -> Any:
    from lmx_models.core.completion import Completion
    from lmx_models.core.trace import Trace

    try:
        return Completion(text, Trace.from_dict(record))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"a trace cannot be read ({error!r}): is it of this version of lmx?") from error
