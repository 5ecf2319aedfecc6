"""Count transfer: one position's residual stream from an unrelated list, so that the count moves and not the item.

The list that is patched and the one that gives have the same question and as many words and tokens, but share no word.
What the position has read differs in the count by `delta`; if it carries the count, the answer moves by as much
(CountScope, arXiv 2511.17699). Where delta is 0 the answer should stay.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lmx_probes.mediation.measure import Meter
from lmx_probes.mediation.roles import Place, places_of
from lmx_probes.mediation.trials import Encoded
from lmx_probes.patching.patch import Patcher, patch_from
from lmx_tasks.category_counting.pairs import Listed
from lmx_tasks.category_counting.relisted import relisted

ROLES = ("last_separator", "last_item", "list_end", "after", "cue")
TRIES = 20
Encode = Callable[[str], Encoded]


@dataclass(frozen=True)
class Transfer:
    """A list and an unrelated one. `deltas`: by role, how much more the second had counted there."""

    number: int
    base: tuple[int, ...]
    source: tuple[int, ...]
    places: tuple[Place, ...]
    count: int
    deltas: dict[str, int]


def transfers_of(questions: Sequence[Listed], encode: Encode, seed: int, most: int) -> list[Transfer]:
    """Return transfers, one a question as far as an unrelated list with as many tokens is found."""
    rng = random.Random(seed)
    found: list[Transfer] = []
    for question in questions:
        if len(found) == most:
            break
        if len(question.words) < 3:
            continue
        made = _transfer(len(found), question, encode, rng)
        if made is not None:
            found.append(made)
    return found


def _transfer(number: int, question: Listed, encode: Encode, rng: random.Random) -> Transfer | None:
    n = len(question.words)
    ids, offsets = encode(question.prompt)
    for _ in range(TRIES):
        wanted = rng.randint(0, min(n, 8))
        members = set(rng.sample(range(n), wanted))
        other = relisted(question, [k in members for k in range(n)], rng, avoid=question.words)
        others, _ = encode(other.prompt)
        places = [place for place in places_of(question.spans, offsets, 0) if place.role in ROLES]
        theirs = [place for place in places_of(other.spans, encode(other.prompt)[1], 0) if place.role in ROLES]
        if len(others) == len(ids) and [p.positions for p in places] == [p.positions for p in theirs]:
            whole = other.count - question.count
            # membership of the last word, which the separator before it has not seen
            last = int(other.members()[-1]) - int(question.members()[-1])
            deltas = {role: whole - last if role == "last_separator" else whole for role in ROLES}
            return Transfer(number, tuple(ids), tuple(others), tuple(places), question.count, deltas)
    return None


def transfer_effects(
    patcher: Patcher, transfers: Sequence[Transfer], layers: Sequence[int], meter: Meter
) -> dict[str, list[Any]]:
    """Return what each transfer does: `shift` of the expected count, and whether the answer is the count + delta."""
    runs = patcher.capture([text for each in transfers for text in (each.base, each.source)])
    cells = [(i, layer, place) for i, each in enumerate(transfers) for layer in layers for place in each.places]
    patches = [
        patch_from(patcher.sites, runs[2 * i], runs[2 * i + 1], "residual", layer, place.positions)
        for i, layer, place in cells
    ]
    columns = meter.columns.to(patcher.model.device)
    logits = patcher.run(patches, columns=columns).cpu().double()
    before = torch.stack([runs[2 * i].logits[columns] for i in range(len(transfers))]).cpu().double()
    shift = meter.answers.expected(logits) - meter.answers.expected(before)[torch.tensor([i for i, *_ in cells])]
    says = logits.argmax(-1).tolist()
    deltas = [transfers[i].deltas[place.role] for i, _, place in cells]
    return {
        "list": [transfers[i].number for i, *_ in cells],
        "layer": [layer for _, layer, _ in cells],
        "role": [place.role for *_, place in cells],
        "column": [place.column for *_, place in cells],
        "count": [transfers[i].count for i, *_ in cells],
        "delta": deltas,
        "shift": shift.tolist(),
        "follows": [
            said == transfers[i].count + delta for said, delta, (i, *_) in zip(says, deltas, cells, strict=True)
        ],
    }
