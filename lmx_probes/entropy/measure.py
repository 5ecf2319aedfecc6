"""Measures texts with models, one model in memory at a time, in parts that are whole or not there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lmx_files.errors import UserError
from lmx_probes import scores
from lmx_probes.entropy.encode import Encoded, TokenNames
from lmx_probes.entropy.inputs import Item
from lmx_probes.entropy.workspace import Workspace, split
from lmx_probes.heads import Head
from lmx_probes.models import ProbeModel
from lmx_probes.reader import Reader, Text

Track = Callable[[Iterable[Any], str], Iterable[Any]]


def untracked(items: Iterable[Any], what: str) -> Iterable[Any]:
    """Show no progress."""
    return items


@dataclass
class Scored:
    """Texts as one model reads them: items, their ids, and where these came from."""

    items: Sequence[Item]
    encoded: Sequence[Encoded]
    parts: list[range] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = split([each.scored for each in self.encoded])

    def texts(self, part: range) -> list[Text]:
        """Return what the reader is asked for: states at the positions before each scored token."""
        return [Text(e.tokens, range(e.start - 1, len(e.tokens) - 1)) for e in (self.encoded[i] for i in part)]

    def targets(self, part: range) -> torch.Tensor:
        """Return the scored tokens of a part, end to end."""
        return torch.tensor([t for i in part for t in self.encoded[i].tokens[self.encoded[i].start :]])

    def where(self, part: range, position: int) -> str:
        """Name the text and the position of the `position`-th scored token of a part."""
        for i in part:
            if position < self.encoded[i].scored:
                return f"{self.items[i].where}, position {position} of its text"
            position -= self.encoded[i].scored
        raise IndexError(position)


def missing(work: Workspace, name: str, scored: Scored, states: bool = False) -> list[int]:
    """Return the numbers of parts that are not measured yet; with `states` also those whose states are not kept."""
    parts, store = work.tokens(name), work.hidden(name)
    return [
        number for number in range(len(scored.parts)) if not parts.has(number) or (states and not store.has(number))
    ]


def measure(
    probe: ProbeModel, name: str, scored: Scored, work: Workspace, *,
    keep_hidden: bool, k: int = 0, rows: int | None = None, track: Track = untracked,
) -> int:  # fmt: skip
    """Measure the parts of one model that are missing; return how many tokens went through the model.

    Args:
        name: under which the files lie. keep_hidden: states and head are kept for pairs.

    Raises:
        UserError: logits are NaN or infinite; the text and position are named, and the part is not written.
    """
    reader, names = Reader(probe, rows), TokenNames(probe.tokenizer)
    store, parts = work.hidden(name), work.tokens(name)
    todo = missing(work, name, scored, keep_hidden)
    if keep_hidden and not store.head.is_file():
        store.write_head(probe.head)
    for number in track(todo, name):
        part = scored.parts[number]
        hidden = read_part(reader, scored, part)
        if not parts.has(number):
            try:
                values, top = scores.score(probe.head, hidden, scored.targets(part), k)
            except scores.NotFiniteError as error:
                raise UserError(
                    f"{probe.name}: logits are NaN or infinite at {scored.where(part, error.position)}: the weights "
                    "are damaged, or the numbers too large for --dtype; try float32"
                ) from None
        if keep_hidden:
            store.write(number, hidden)
        if not parts.has(number):
            parts.write(number, columns(scored, part, values, top, names))
    return reader.fed


def read_part(reader: Reader, scored: Scored, part: range) -> torch.Tensor:
    """Return the states before every scored token of a part, in the texts' order."""
    texts = scored.texts(part)
    ends = list(itertools.accumulate(len(text.wanted) for text in texts))
    hidden = torch.empty(0)
    for i, states in reader.read(texts):
        if not len(hidden):  # all of the part's room at once: kept text by text and joined it would take twice as much
            hidden = states.new_empty(ends[-1], states.shape[1])
        hidden[ends[i] - len(states) : ends[i]] = states
    return hidden


def columns(
    scored: Scored,
    part: range,
    values: Mapping[str, Any],
    top: scores.TopK | None,
    names: Callable[[Sequence[int]], list[str]],
) -> dict[str, Any]:
    """Return the columns of a part of the tokens' data set, in the order of its schema."""
    counts = [scored.encoded[i].scored for i in part]

    def each(one: Callable[[int], Any]) -> list[Any]:
        return [value for i, n in zip(part, counts, strict=True) for value in itertools.repeat(one(i), n)]

    ends = [scored.encoded[i] for i in part]
    following = [t for e in ends for t in e.tokens[e.start :]]
    current = [t for e in ends for t in e.tokens[e.start - 1 : -1]]
    words = names(following)
    plain = {name: _numpy(value) for name, value in values.items()}
    return {
        "text": each(lambda i: i),
        "task": each(lambda i: scored.items[i].task),
        "doc_id": each(lambda i: scored.items[i].doc_id),
        "repeat": each(lambda i: scored.items[i].repeat),
        "correct": np.array(each(lambda i: scored.items[i].correct), dtype=np.float64),
        "position": [position for n in counts for position in range(n)],
        "current_id": current,
        "next_id": following,
        "current_token": names(current),
        "next_token": words,
        "entropy": plain["entropy"],
        "probability_of_next_token": plain["probability"],
        "surprisal": plain["surprisal"],
        "varentropy": plain["varentropy"],
        "rank": plain["rank"],
        "margin": plain["margin"],
        "top_probability": plain["top_probability"],
        "top_id": plain["top_token"],
        "source": [source for i, n in zip(part, counts, strict=True) for source in _sources(scored.items[i], n)],
        "fill_step": [step for i, n in zip(part, counts, strict=True) for step in _steps(scored.items[i], n)],
        "top_ids": [None] * len(words) if top is None else top.tokens.tolist(),
        "top_log_probabilities": [None] * len(words) if top is None else top.log_probabilities.tolist(),
    }


def _numpy(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _sources(item: Item, count: int) -> Iterator[str | None]:
    found: list[str | None] = [None] * count
    if item.tokens is not None and len(item.tokens) == count:
        for source, begin, end in item.sources:
            found[begin:end] = [source] * (min(end, count) - begin)
    return iter(found)


def _steps(item: Item, count: int) -> Iterator[int | None]:
    known = item.tokens is not None and len(item.tokens) == count == len(item.steps)
    return iter(item.steps if known else [None] * count)


def compare(
    names: Sequence[str], scored: Scored, work: Workspace, device: torch.device | str = "cpu", track: Track = untracked
) -> None:
    """Compare each two models on the tokens that both read, from their hidden states and heads on disk; no model runs.

    The heads' products are made as the models make them, everything after them in float64.
    """
    for a, b in itertools.combinations(names, 2):
        parts = work.pair(a, b)
        todo = [number for number in range(len(scored.parts)) if not parts.has(number)]
        if not todo:
            continue
        heads = [work.hidden(name).read_head(device) for name in (a, b)]
        for number in track(todo, f"{a} against {b}"):
            part = scored.parts[number]
            states = [work.hidden(name).read(number, device) for name in (a, b)]
            found = compare_states(heads[0], heads[1], states[0], states[1], scored.targets(part))
            counts = [scored.encoded[i].scored for i in part]
            parts.write(
                number,
                {
                    "text": [i for i, n in zip(part, counts, strict=True) for _ in range(n)],
                    "position": [position for n in counts for position in range(n)],
                    **{name: found[name].numpy() for name in work.pair(a, b).schema.names[2:]},
                },
            )


def compare_states(
    a: Head, b: Head, hidden_a: torch.Tensor, hidden_b: torch.Tensor, targets: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Apply two heads in chunks and compare, see `scores.compare`; with the surprisals of the targets."""
    if a.vocabulary != b.vocabulary:
        raise ValueError(f"vocabularies of {a.vocabulary} and {b.vocabulary} tokens cannot be compared")
    found: dict[str, list[torch.Tensor]] = {}
    with torch.inference_mode():
        for chunk in a.chunks(len(targets)):
            at = targets[chunk].to(hidden_a.device)
            first, second = a.logits(hidden_a[chunk]), b.logits(hidden_b[chunk])
            for name, values in scores.compare(first, second, at).items():
                found.setdefault(name, []).append(values.cpu())
    return {name: torch.cat(values) for name, values in found.items()}
