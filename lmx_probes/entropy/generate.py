"""Lets a model write texts and scores every token as it is written, so that no forward is made twice."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Decoding, Generation
from lmx_models.core.sampling import Sampling, stream
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.step_model import StepModel
from lmx_models.zoo.loading import end_ids
from lmx_probes import scores
from lmx_probes.entropy import measure as measuring
from lmx_probes.entropy.encode import Encoded, TokenNames, bytes_of, first_of, ids_of
from lmx_probes.entropy.inputs import Item
from lmx_probes.entropy.measure import Scored, Track, untracked
from lmx_probes.entropy.recorded import merged, recorded_columns, values_of
from lmx_probes.entropy.samples import item_of
from lmx_probes.entropy.workspace import Workspace
from lmx_probes.models import ProbeModel

PART_TEXTS = 64


@dataclass(frozen=True)
class Writing:
    """How texts are written. seed: each text has its own stream, made of the seed, task, document and repeat."""

    max_new_tokens: int = 4096
    seed: int = 1234
    sampling: Sampling = Sampling()  # noqa: RUF009  (frozen)
    rows: int = 16


def scored_writing(decoding: Decoding, vocabulary: int, found: list[dict[str, float]]) -> Decoding:
    """Run a left-to-right decoder and add the scores of each token that it writes to `found`; see `scores`.

    Rows beyond `vocabulary`, with which a model pads its output, stand for no token and are never drawn.
    """
    ask = next(decoding)
    while True:
        logits = (yield ask)[:, :vocabulary]
        row = logits[-1:]
        try:
            ask = decoding.send(logits)
        except StopIteration as end:
            generation: Generation = end.value
            found.append(_score(row, generation.tokens[-1]))
            return generation
        found.append(_score(row, ask.tokens[-1]))


def _score(logits: torch.Tensor, token: int) -> dict[str, float]:
    values = scores.token_scores(logits, torch.tensor([min(token, logits.shape[1] - 1)], device=logits.device))
    return {name: value.item() for name, value in values.items()}


def parts_of(items: Sequence[Item]) -> list[range]:
    """Cut prompts into the parts that are written together."""
    return [range(i, min(i + PART_TEXTS, len(items))) for i in range(0, len(items), PART_TEXTS)]


def write_and_measure(
    probe: ProbeModel, name: str, items: Sequence[Item], writing: Writing, work: Workspace, track: Track = untracked
) -> None:
    """Write a text for each item with one model and keep its texts and tokens; finished parts stay as they are.

    Raises:
        UserError: logits are NaN or infinite, or a prompt leaves no room.
    """
    names, tokens, texts = TokenNames(probe.tokenizer), work.tokens(name), work.texts(name)
    longest = getattr(probe.model.config.get_text_config(), "max_position_embeddings", None)
    for number, part in enumerate(track(parts_of(items), name)):
        if tokens.has(number):
            continue
        written = _write(probe, [items[i] for i in part], writing, longest)
        scored = Scored([each for each, _, _ in written], [encoded for _, encoded, _ in written])
        values = {key: torch.tensor([row[key] for _, _, rows in written for row in rows]) for key in scores.COLUMNS}
        found = measuring.columns(scored, range(len(part)), values, None, names)
        found["text"] = [i + part.start for i in found["text"]]
        texts.write(number, text_columns(scored, range(len(part)), name, probe.tokenizer, part.start))
        tokens.write(number, found)


def write_and_take(
    write: Callable[[Sequence[Item]], Sequence[Any]], tokenizer: Any, model: str, name: str, items: Sequence[Item],
    work: Workspace, track: Track = untracked,
) -> None:  # fmt: skip
    """Let a way of decoding write a text for each item, and keep the scores that it recorded of its own tokens.

    Args:
        write: returns for each item what has ``prompt`` (ids) and ``trace``; see `lmx_models.writing`.

    Raises:
        UserError: a token has no score: a server or a model with another tokenizer wrote it.
    """
    names, tokens, texts = TokenNames(tokenizer), work.tokens(name), work.texts(name)
    for number, part in enumerate(track(parts_of(items), name)):
        if tokens.has(number):
            continue
        made, encoded = [], []
        for i, one in zip(part, write([items[i] for i in part]), strict=True):
            ids = list(one.trace["tokens"])
            text = str(tokenizer.decode(ids, skip_special_tokens=True))
            made.append(
                item_of(items[i].prompt, text, (items[i].task, items[i].doc_id), items[i].repeat, math.nan, one.trace)
            )
            encoded.append(Encoded([*one.prompt, *ids], len(one.prompt), again=False))
        known = recorded_columns(made, [each.scored for each in encoded])
        if known is None:
            raise UserError(
                f"{model}: some tokens have no scores, because a server or a model with another tokenizer wrote them: "
                "let the run be read with --texts logged instead"
            )
        scored = Scored(made, encoded)
        found = measuring.columns(
            scored, range(len(part)), merged([values_of(each, known) for each in made]), None, names
        )
        found["text"] = [i + part.start for i in found["text"]]
        texts.write(number, text_columns(scored, range(len(part)), name, tokenizer, part.start))
        tokens.write(number, found)


def prompt_ids(items: Sequence[Item], tokenizer: Any, name: str, longest: int | None) -> list[list[int]]:
    """Return the ids of prompts behind which a model is to write; an empty one is the beginning of text.

    Args:
        name: of the model, for messages. longest: most tokens that it reads.

    Raises:
        UserError: a prompt is empty and there is no beginning of text, or it leaves no room to write.
    """
    found = []
    for item in items:
        ids = ids_of(tokenizer, item.prompt) if item.prompt else []
        first = first_of(tokenizer)
        ids = ids or ([first] if first is not None else [])
        if not ids:
            raise UserError(f"{item.where}: an empty prompt, and {name} has no token to begin with: leave it out")
        if longest is not None and len(ids) >= longest:
            raise UserError(
                f"{item.where}: the prompt has {len(ids)} tokens and {name} reads {longest}: there is no room to "
                "write. Shorten it, or leave it out"
            )
        found.append(ids)
    return found


def _write(
    probe: ProbeModel, items: Sequence[Item], writing: Writing, longest: int | None
) -> list[tuple[Item, Encoded, list[dict[str, float]]]]:
    tokenizer = probe.tokenizer
    found = [list[dict[str, float]]() for _ in items]
    room = min(writing.max_new_tokens, longest or writing.max_new_tokens)
    prompts = prompt_ids(items, tokenizer, probe.name, longest)
    stop = end_ids(probe.model, tokenizer)

    def decode(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    def start(i: int) -> Decoding:
        item = items[i]
        limit = min(room, (longest or len(prompts[i]) + room) - len(prompts[i]))
        rng = stream(writing.seed, item.task, item.doc_id, item.repeat)
        inner = autoregressive(prompts[i], "ar", writing.sampling, Stopping(limit, stop, (), decode), rng)
        return scored_writing(inner, probe.head.vocabulary, found[i])

    rows = max(1, min(writing.rows, len(items)))
    scheduler = Scheduler({"ar": StepModel(probe.model, rows)}, rows)
    generations: dict[int, Generation] = {}
    try:
        for done in scheduler.run(Job(i, functools.partial(start, i)) for i in range(len(items))):
            generations[int(str(done.key))] = done.generation
    except scores.NotFiniteError as error:
        i = int(str(error.key))
        raise UserError(
            f"{probe.name}: logits are NaN or infinite in the text of {items[i].where}, at position {len(found[i])}: "
            "the weights are damaged, or the numbers too large for --dtype"
        ) from None
    made = []
    for i, item in enumerate(items):
        ids = generations[i].tokens
        whole = replace(item, text=decode(ids), tokens=tuple(ids), sources=(("ar", 0, len(ids)),))
        made.append((whole, Encoded([*prompts[i], *ids], len(prompts[i]), again=False), found[i]))
    return made


def text_columns(scored: Scored, part: range, model: str, tokenizer: Any, begin: int = 0) -> Mapping[str, Any]:
    """Return the columns of the texts' data set, in the order of its schema; `begin`: number of the first."""
    items = [scored.items[i] for i in part]
    return {
        "text": [i + begin for i in part],
        "model": [model] * len(items),
        "task": [item.task for item in items],
        "doc_id": [item.doc_id for item in items],
        "repeat": [item.repeat for item in items],
        "correct": [float(item.correct) for item in items],
        "n_bytes": [bytes_of(scored.encoded[i], tokenizer) for i in part],
        "prompt": [item.prompt.encode("utf-8", "replace").decode() for item in items],
        "answer": [(item.text or "").encode("utf-8", "replace").decode() for item in items],
    }
